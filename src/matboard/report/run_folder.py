"""A run folder as the report sees it: typed, and silent about nothing that is missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from matboard.errors import RunError
from matboard.results import StepRow, StreamResults, TransferResults, read, read_step
from matboard.runs import Run

FILES = ("config.yaml", "environment.json", "metrics.jsonl", "results.json")


@dataclass(frozen=True)
class RunFolder:
    """What stands in a run's folder.

    Attributes:
        config: what was asked, as it was written; None where the file is missing.
        asked: the same, read; empty where it cannot be.
        steps: every logged step.
        results: None where the run is not finished, or is a single fit.
    """

    folder: Path
    config: str | None
    asked: dict[str, Any]
    environment: dict[str, Any]
    steps: tuple[StepRow, ...]
    results: TransferResults | StreamResults | None

    @property
    def finished(self) -> bool:
        """Whether it wrote results."""
        return (self.folder / "results.json").exists()

    @property
    def title(self) -> str:
        """The title that the configuration gives, else the folder's name."""
        return str(self.asked.get("title") or self.folder.resolve().name)

    @property
    def command(self) -> str:
        """The command that made the run, as recorded; empty where none was."""
        recorded = self.environment.get("command")
        if isinstance(recorded, list):
            return shlex.join(map(str, recorded))
        return str(recorded or "")

    @property
    def skipped(self) -> int:
        """Each line counts the skipped steps of its fit so far: the last one holds its sum."""
        last = {(row.run, row.variant, row.seed): row.skipped for row in self.steps}
        return sum(last.values())


def read_folder(folder: Path) -> RunFolder:
    """Read a run folder, finished or not.

    Raises:
        RunError: there is no such folder, nothing in it comes from a run, or it was written by
            another version of matboard.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder} is not a folder. Give a run folder, the one named by --out when the run was"
            " started."
        )
    if not any((folder / name).exists() for name in FILES):
        raise RunError(
            f"{folder} is not a run folder: it holds none of {', '.join(FILES)}. Give the folder a"
            " run was written to."
        )
    config = _text(folder / "config.yaml")
    results = read(folder) if (folder / "results.json").exists() else None
    return RunFolder(
        folder=folder,
        config=config,
        asked=_mapping(config),
        environment=_json(folder / "environment.json"),
        steps=tuple(_steps(folder)),
        results=results if isinstance(results, TransferResults | StreamResults) else None,
    )


def _steps(folder: Path) -> Iterator[StepRow]:
    """Logged steps; those of a study's fits, where there are any, reach further than their summary
    in an unfinished run.
    """
    fits = sorted((folder / "fits").glob("*/metrics.jsonl"))
    for path in fits:
        for line in Run(path.parent).metrics():
            yield read_step({"run": path.parent.name, **line})
    if not fits:
        yield from map(read_step, Run(folder).metrics())


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _mapping(config: str | None) -> dict[str, Any]:
    try:
        asked = yaml.safe_load(config or "")
    except yaml.YAMLError:
        return {}
    return asked if isinstance(asked, dict) else {}
