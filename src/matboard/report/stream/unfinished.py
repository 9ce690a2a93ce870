"""How far a run over a task stream is: its configuration says what it will hold, its folder what it
holds so far.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from matboard.errors import RunError
from matboard.report.continual_results import ContinualResults, Learner, Outcome
from matboard.report.verdict import join, plural
from matboard.runs import Run


@dataclass(frozen=True, eq=False)
class Running:
    """A learner with a seed that has not learned all tasks, or not kept what it learned.

    Attributes:
        rows: ``T × T`` accuracies, NaN in the rows that are still to come.
        done: how many rows there are.
        problem: the sentence that stands there instead of rows.
    """

    learner: Learner
    seed: int
    rows: NDArray[np.float64]
    done: int
    problem: str = ""

    @property
    def words(self) -> str:
        """``l2p (seed 1) has learned 2 of 4 tasks``."""
        return (
            f"{self.learner.name} (seed {self.seed}) has learned {self.done} of {len(self.rows)}"
            " tasks"
        )


@dataclass(frozen=True)
class SoFar:
    """An unfinished run.

    Attributes:
        results: the learners, and which files their finished fits left.
        running: fits that were begun.
        waiting: how many were not.
    """

    results: ContinualResults
    running: tuple[Running, ...]
    waiting: int

    @property
    def words(self) -> str:
        """One sentence on where it stands."""
        finished = len(self.results.outcomes)
        total = finished + len(self.running) + self.waiting
        if not total:
            return "This run is unfinished."
        parts = [
            f"{finished} of {total} fits {'is' if finished == 1 else 'are'} finished",
            *(fit.words for fit in self.running),
        ]
        if self.waiting:
            parts.append(
                f"{self.waiting} {plural(self.waiting, 'fit')}"
                f" {'has' if self.waiting == 1 else 'have'} not begun"
            )
        return f"This run is unfinished: {join(parts)}."


def so_far(folder: Path, config: str | None) -> SoFar:
    """What lies in the folder of a run that has no results; empty where its configuration does not
    say what it will hold.
    """
    asked = _mapping(config)
    stream, learners, seeds = asked.get("stream"), asked.get("learners"), asked.get("seeds")
    if not (isinstance(stream, dict) and isinstance(learners, dict) and isinstance(seeds, list)):
        return SoFar(ContinualResults(), (), 0)
    known = tuple(
        Learner(name=str(name), options=options or {}) for name, options in learners.items()
    )
    pairs = [(learner, seed) for learner in known for seed in seeds if isinstance(seed, int)]
    finished = [_outcome(folder, learner, seed) for learner, seed in pairs]
    open_pairs = [pair for pair, outcome in zip(pairs, finished) if outcome is None]
    tasks = len(stream.get("domains") or range(stream.get("tasks", 0)))
    running = tuple(
        _running(folder, *pair, tasks) for pair in open_pairs if _fit(folder, *pair).folder.is_dir()
    )
    results = ContinualResults(learners=known, cells=tuple(filter(None, finished)))
    return SoFar(results, running, len(open_pairs) - len(running))


def _fit(folder: Path, learner: Learner, seed: int) -> Run:
    return Run(folder / "fits" / f"{learner.name}-s{seed}")


def _outcome(folder: Path, learner: Learner, seed: int) -> Outcome | None:
    """Which files a fit left; None while it is not finished."""
    fit = _fit(folder, learner, seed)
    try:
        left = fit.results() if fit.finished else None
        return (
            Outcome(
                learner=learner.name,
                seed=seed,
                **{k: left[k] for k in ("matrix", "selection", "pictures")},
            )
            if left
            else None
        )
    except (json.JSONDecodeError, KeyError, ValueError):
        return None


def _running(folder: Path, learner: Learner, seed: int, tasks: int) -> Running:
    empty = np.full((tasks, tasks), np.nan)
    try:
        found = (_fit(folder, learner, seed).checkpoint_values() or {}).get("rows", [])
    except RunError as error:
        return Running(learner, seed, empty, 0, str(error))
    known = np.array(found, dtype=np.float64).reshape(-1, tasks)  # None becomes NaN
    return Running(learner, seed, np.vstack([known, empty[len(known) :]]), len(known))


def _mapping(config: str | None) -> dict[str, Any]:
    try:
        asked = yaml.safe_load(config or "")
    except yaml.YAMLError:
        return {}
    return asked if isinstance(asked, dict) else {}
