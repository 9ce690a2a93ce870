"""A run folder as the report sees it: typed, and silent about nothing that is missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from matboard.errors import RunError
from matboard.results import (
    AnalysisResults,
    ChoiceResults,
    CostResults,
    FitResults,
    PlannedFit,
    SearchResults,
    StepRow,
    StreamFitResults,
    StreamResults,
    StudyPlan,
    TransferResults,
    read,
    read_step,
)
from matboard.runs import Run

FILES = (
    "config.yaml",
    "environment.json",
    "plan.json",
    "metrics.jsonl",
    "results.json",
)
Shown: TypeAlias = (
    TransferResults | StreamResults | ChoiceResults | SearchResults | CostResults
)
"""Results that have a page."""


@dataclass(frozen=True)
class RunFolder:
    """What stands in a run's folder.

    Attributes:
        config: what was asked, as it was written; None where the file is missing.
        plan: which fits belong to it; None where it has none.
        steps: every logged step.
        results: None where the run is not finished, or is a single fit.
        outcomes: what each pixel prompt's fit that is finished says of itself, by its name.
        analysis: what was seen inside the models; None where nobody looked.
    """

    folder: Path
    config: str | None
    environment: dict[str, Any]
    plan: StudyPlan | None
    steps: tuple[StepRow, ...]
    results: Shown | None
    outcomes: Mapping[str, FitResults] = field(default_factory=dict)
    analysis: AnalysisResults | None = None

    @property
    def finished(self) -> bool:
        """Whether it wrote results."""
        return (self.folder / "results.json").exists()

    @property
    def fits(self) -> tuple[PlannedFit, ...]:
        """The fits that belong to it."""
        return self.plan.fits if self.plan else ()

    @property
    def title(self) -> str:
        """The title that the configuration gives, else the folder's name."""
        return str(self._asked.get("title") or self.folder.resolve().name)

    @property
    def rule(self) -> str:
        """What was to count as which outcome, written before the run; empty where nothing was."""
        return str(self._asked.get("rule") or "")

    @cached_property
    def _asked(self) -> dict[str, Any]:
        try:
            asked = yaml.safe_load(self.config or "")
        except yaml.YAMLError:
            return {}
        return asked if isinstance(asked, dict) else {}

    @property
    def command(self) -> str:
        """The command that made the run, as recorded; empty where none was."""
        recorded = self.environment.get("command")
        if isinstance(recorded, list):
            return shlex.join(map(str, recorded))
        return str(recorded or "")

    @property
    def of_stream(self) -> bool:
        """Whether it was planned as a study over a stream."""
        return self.plan is not None and self.plan.study == "stream"

    @property
    def resume(self) -> str:
        """The command that goes on with it: the recorded one, else one made of the folder."""
        which = "continual" if self.of_stream else "fit"
        config = str(self.folder / "config.yaml")
        made = ["matboard", which, config, "--out", str(self.folder)]
        return self.command or shlex.join(made)

    @property
    def skipped(self) -> int:
        """Each line counts the skipped steps of its fit so far: the last one holds its sum."""
        return sum({row.run: row.skipped for row in self.steps}.values())

    def steps_of(self, variant: str) -> list[StepRow]:
        """Logged steps of one variant with all its seeds."""
        runs = {fit.name for fit in self.fits if fit.variant == variant}
        return [row for row in self.steps if row.run in runs]

    def file(self, name: str) -> Path | None:
        """A file of this run, or of a fit in a store that it shares with others; None for any
        other file, which a page must not show.
        """
        path = (self.folder / name).resolve()
        if path.is_relative_to(self.folder.resolve()):
            return path
        return path if any(_is_fit(parent) for parent in path.parents) else None


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
    results = read(folder) if (folder / "results.json").exists() else None
    plan = read(folder / "plan.json") if (folder / "plan.json").exists() else None
    fits = plan.fits if isinstance(plan, StudyPlan) else ()
    return RunFolder(
        folder=folder,
        config=_text(folder / "config.yaml"),
        environment=_json(folder / "environment.json"),
        plan=plan if isinstance(plan, StudyPlan) else None,
        steps=tuple(_steps(folder, fits)),
        outcomes=dict(_outcomes(folder, fits)),
        analysis=_analysis(folder),
        results=results if isinstance(results, Shown) else None,
    )


def _steps(folder: Path, fits: Sequence[PlannedFit]) -> Iterator[StepRow]:
    """The study's own log, written when all its fits are finished; before that, its fits' logs."""
    if (folder / "metrics.jsonl").exists():
        yield from map(read_step, Run(folder).metrics())
        return
    for fit in fits:
        for line in Run(folder / fit.folder).metrics():
            yield read_step({"run": fit.name, **line})


def _outcomes(
    folder: Path, fits: Sequence[PlannedFit]
) -> Iterator[tuple[str, FitResults]]:
    """Of a study's fits; of the folder itself where it is one."""
    places = [(fit.name, folder / fit.folder) for fit in fits]
    for name, place in places or [(folder.name, folder)]:
        if (place / "results.json").exists():
            results = read(place)
            if isinstance(results, FitResults):
                yield name, results


def _analysis(folder: Path) -> AnalysisResults | None:
    place = folder / "analysis.json"
    found = read(place) if place.exists() else None
    return found if isinstance(found, AnalysisResults) else None


def _is_fit(folder: Path) -> bool:
    try:
        return isinstance(read(folder), FitResults | StreamFitResults)
    except RunError:
        return False


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
