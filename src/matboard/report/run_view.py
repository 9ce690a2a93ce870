"""A run folder as the report sees it: typed, tolerant, and silent about nothing that is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from matboard.errors import RunError
from matboard.report.continual_results import KIND, ContinualResults, parse_continual
from matboard.report.results import Results, parse_results
from matboard.runs import Run

FILES = ("config.yaml", "environment.json", "metrics.jsonl", "results.json")
PROMPT_FILES = ("prompt_config.json", "preview.png")

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """One logged quantity over steps; steps where it was not logged or not finite are left out."""

    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class PromptView:
    """One saved prompt: its folder's name, its picture where there is one, its configuration."""

    name: str
    preview: Path | None
    config: dict[str, Any]


@dataclass(frozen=True)
class RunView:
    """Everything a report shows.

    Attributes:
        curves: run name ("" where there is only one) → quantity → curve; a nested quantity is a
            longer key.
        skipped: steps skipped because their gradient was not finite.
        results: of a run that learned prompts on one task.
        continual: of a run over a task stream, empty while it is unfinished; None for any other
            run.
        missing: section → the sentence that stands there instead.
    """

    folder: Path
    config: str | None
    environment: dict[str, Any]
    curves: dict[str, dict[Key, Curve]]
    skipped: int
    prompts: tuple[PromptView, ...]
    results: Results | None
    continual: ContinualResults | None
    missing: dict[str, str]


def read_run(folder: Path) -> RunView:
    """Read a run folder, finished or not.

    Raises:
        RunError: there is no such folder, or nothing in it comes from a run.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder} is not a folder. Give a run folder, the one named by --out when the run was"
            " started."
        )
    prompts = _prompts(folder)
    if not prompts and not any((folder / name).exists() for name in FILES):
        raise RunError(
            f"{folder} is not a run folder: it holds none of {', '.join(FILES)} and no prompt. Give"
            " the folder a run was written to."
        )
    rows = _rows(folder)
    curves = _curves(rows)
    config = _text(folder / "config.yaml")
    results, problem = _results(folder)
    if results is None and _is_continual(folder, config):
        results = ContinualResults()
    missing = {"results": problem, "prompt": "", "curves": ""}
    if not prompts:
        missing["prompt"] = "No prompt has been saved in this run."
    if not curves:
        missing["curves"] = "Nothing was logged: metrics.jsonl is missing or holds no numbers."
    return RunView(
        folder=folder,
        config=config,
        environment=_json(folder / "environment.json"),
        curves=curves,
        skipped=_skipped(rows),
        prompts=prompts,
        results=results if isinstance(results, Results) else None,
        continual=results if isinstance(results, ContinualResults) else None,
        missing={section: sentence for section, sentence in missing.items() if sentence},
    )


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Logged lines; those of a study's fits, where there are any, reach further than their summary
    in an unfinished run.
    """
    fits = sorted((folder / "fits").glob("*/metrics.jsonl"))
    named = {fit.parent.name: Run(fit.parent).metrics() for fit in fits} or {
        "": Run(folder).metrics()
    }
    return [
        {"run": name, **row} if name else row
        for name, rows in named.items()
        for row in rows
        if isinstance(row, dict)
    ]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _results(folder: Path) -> tuple[Results | ContinualResults | None, str]:
    text = _text(folder / "results.json")
    if text is None:
        return (
            None,
            "This run has no results yet: results.json appears when its evaluation has finished.",
        )
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return None, f"results.json cannot be read ({error}). Run the evaluation again."
    kind = content.get("kind", "transfer") if isinstance(content, dict) else None
    if kind not in ("transfer", KIND):
        return (
            None,
            "This run learned a prompt and judged none: its results.json holds no transfer table.",
        )
    try:
        return (parse_continual(content) if kind == KIND else parse_results(content)), ""
    except RunError as error:
        return None, str(error)


def _is_continual(folder: Path, config: str | None) -> bool:
    """Whether a run without readable results is one over a task stream: by its configuration, its
    matrices, or its results' kind.
    """
    try:
        asked = yaml.safe_load(config or "")
    except yaml.YAMLError:
        asked = None
    named = isinstance(asked, dict) and "stream" in asked
    return (
        named
        or (folder / "matrices").is_dir()
        or _json(folder / "results.json").get("kind") == KIND
    )


def _prompts(folder: Path) -> tuple[PromptView, ...]:
    places = sorted((folder / "prompts").glob("*")) or [folder / "prompt"]
    return tuple(
        PromptView(
            place.name,
            preview if (preview := place / "preview.png").is_file() else None,
            _json(place / "prompt_config.json"),
        )
        for place in places
        if any((place / name).is_file() for name in PROMPT_FILES)
    )


def _curves(rows: list[dict[str, Any]]) -> dict[str, dict[Key, Curve]]:
    curves: dict[str, dict[Key, Curve]] = {}
    for row, step in zip(rows, _steps(rows)):
        for key, value in _numbers(row).items():
            if key not in (("step",), ("task",)):
                curve = curves.setdefault(str(row.get("run", "")), {}).setdefault(key, Curve())
                curve.steps.append(step)
                curve.values.append(value)
    return curves


def _steps(rows: list[dict[str, Any]]) -> Iterator[float]:
    """Where each row stands; where a new task counts its steps from the start again, it follows on
    the task before.
    """
    last: dict[str, tuple[Any, float]] = {}
    before: dict[str, float] = {}
    for index, row in enumerate(rows, start=1):
        run, task, step = str(row.get("run", "")), row.get("task"), row.get("step", index)
        if run in last and task != last[run][0] and step + before.get(run, 0) <= last[run][1]:
            before[run] = last[run][1]
        step += before.get(run, 0)
        last[run] = task, step
        yield step


def _numbers(row: Mapping[str, Any], above: Key = ()) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= _numbers(value, (*above, name))
        elif (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            found[(*above, name)] = float(value)
    return found


def _skipped(rows: list[dict[str, Any]]) -> int:
    """Each line counts the skipped steps of its run so far: the last line of each run holds its
    sum.
    """
    last = {
        str(row.get("run", "")): row["skipped"]
        for row in rows
        if isinstance(row.get("skipped"), int)
    }
    return sum(last.values())
