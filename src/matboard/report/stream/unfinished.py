"""How far a study over a stream is: its plan says what it will hold, its fits what they left so
far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matboard.errors import RunError
from matboard.report.run_folder import RunFolder
from matboard.report.words import join, plural
from matboard.results import PlannedFit, StreamFitResults, read
from matboard.results.stream import Learner, Outcome
from matboard.runs import Run


@dataclass(frozen=True, eq=False)
class Running:
    """A learner with a seed that has not learned all tasks, or not kept what it learned.

    Attributes:
        rows: ``T × T`` accuracies, NaN in the rows that are still to come.
        done: how many rows there are.
        problem: the sentence that stands there instead of rows.
    """

    fit: PlannedFit
    rows: NDArray[np.float64]
    done: int
    problem: str = ""

    @property
    def words(self) -> str:
        """``l2p (seed 1) has learned 2 of 4 tasks``."""
        total = len(self.rows)
        return f"{self.fit.variant} (seed {self.fit.seed}) has learned {self.done} of {total} tasks"


@dataclass(frozen=True)
class SoFar:
    """An unfinished study.

    Attributes:
        learners: those of its plan.
        outcomes: what its finished fits left.
        running: fits that were begun.
        waiting: how many were not.
    """

    learners: tuple[Learner, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    running: tuple[Running, ...] = ()
    waiting: int = 0

    @property
    def words(self) -> str:
        """One sentence on where it stands."""
        finished = len(self.outcomes)
        total = finished + len(self.running) + self.waiting
        if not total:
            return "This run is unfinished."
        verb = "is" if finished == 1 else "are"
        parts = [f"{finished} of {plural(total, 'fit')} {verb} finished"]
        parts += [fit.words for fit in self.running]
        if self.waiting:
            verb = "has" if self.waiting == 1 else "have"
            parts.append(f"{plural(self.waiting, 'fit')} {verb} not begun")
        return f"This run is unfinished: {join(parts)}."


def so_far(run: RunFolder) -> SoFar:
    """What the planned fits of a study without results left so far."""
    if run.plan is None:
        return SoFar()
    left = {fit: _left(run, fit) for fit in run.fits}
    begun = [fit for fit in run.fits if (run.folder / fit.folder).is_dir()]
    unfinished = [fit for fit, results in left.items() if results is None]
    running = [_running(run, fit) for fit in unfinished if fit in begun]
    outcomes = [
        _outcome(fit, results) for fit, results in left.items() if results is not None
    ]
    return SoFar(
        learners=tuple(_learners(left)),
        outcomes=tuple(outcomes),
        running=tuple(running),
        waiting=len(unfinished) - len(running),
    )


def _left(run: RunFolder, fit: PlannedFit) -> StreamFitResults | None:
    """What a fit left; None while it is not finished."""
    try:
        results = read(run.folder / fit.folder)
    except RunError:
        return None
    return results if isinstance(results, StreamFitResults) else None


def _learners(left: dict[PlannedFit, StreamFitResults | None]) -> Iterator[Learner]:
    """Which of them is a control is not known before the results."""
    known: dict[str, Learner] = {}
    for fit, results in left.items():
        flags = results.flags if results else ()
        form = results.picture_form if results else None
        learner = Learner(
            name=fit.variant,
            method=fit.method,
            kind="prompt",
            flags=flags,
            picture_form=form,
        )
        if results is not None or fit.variant not in known:
            known[fit.variant] = learner
    yield from known.values()


def _outcome(fit: PlannedFit, results: StreamFitResults) -> Outcome:
    """What was measured, with files as seen from the study's folder."""
    said = results.outcome
    chosen = None if said.selection is None else f"{fit.folder}/{said.selection}"
    return said.model_copy(
        update={
            "learner": fit.variant,
            "matrix": f"{fit.folder}/{said.matrix}",
            "selection": chosen,
            "pictures": tuple(f"{fit.folder}/{picture}" for picture in said.pictures),
        }
    )


def _running(run: RunFolder, fit: PlannedFit) -> Running:
    tasks = run.plan.tasks if run.plan else 1
    empty = np.full((tasks, tasks), np.nan)
    try:
        values = Run(run.folder / fit.folder).checkpoint_values() or {}
    except RunError as error:
        return Running(fit, empty, 0, str(error))
    known = values.get("rows", [])
    done = len(known)
    rows = empty.copy()
    if done:
        rows[:done] = known  # None becomes NaN
    return Running(fit, rows, done)
