"""What lies beside the results of a continual run: accuracy matrices, selections, pictures of
prompts; silent about nothing missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matboard.analysis import Relation, Selection, pooled
from matboard.errors import InputError
from matboard.metrics import AccuracyMatrix
from matboard.report.continual_results import ContinualResults, Learner, Outcome
from matboard.report.rendering import data_uri

RESHAPED = "raw values reshaped; not a picture the model sees"
KEPT = "in the form they are kept"


@dataclass(frozen=True, eq=False)
class MeanMatrix:
    """One learner's accuracy matrix, its mean over seeds; None where no seed has one.

    Attributes:
        differ: whether the seeds had different tasks, so that the mean is by position.
        missing: sentences about seeds that are left out.
    """

    learner: Learner
    values: NDArray[np.float64] | None
    seeds: int
    differ: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SelectionView:
    """Which prompt served which class: a learner's selection with each seed, and what they say
    together.

    Attributes:
        found: seed → selection; the first is the one to be drawn.
        order: the classes' indices in the order of that seed's stream, or as in the file.
        starts: where tasks begin within the order; empty where the tasks' classes are not known.
        relation: over all of them; None where there are none, or they cannot be taken together.
        missing: sentences about what is left out.
    """

    learner: Learner
    found: dict[int, Selection]
    order: tuple[int, ...]
    starts: tuple[int, ...]
    relation: Relation | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class PoolView:
    """A learner's prompts as pictures, from its first seed; None for a picture that is not there."""

    learner: Learner
    seed: int
    form: str
    pictures: tuple[str | None, ...]


def mean_matrices(folder: Path, results: ContinualResults) -> list[MeanMatrix]:
    """One for each learner that has a matrix, or should have."""
    pairs = ((learner, results.seeds_of(learner.name)) for learner in results.arranged)
    return [_mean_matrix(folder, learner, outcomes) for learner, outcomes in pairs if outcomes]


def _mean_matrix(folder: Path, learner: Learner, outcomes: Sequence[Outcome]) -> MeanMatrix:
    found: list[AccuracyMatrix] = []
    missing = []
    for outcome in outcomes:
        try:
            found.append(AccuracyMatrix.from_csv(_inside(folder, outcome.matrix)))
        except (InputError, OSError, StopIteration) as error:
            missing.append(f"Seed {outcome.seed} is left out: {_reason(error, outcome.matrix)}")
    shapes = {matrix.values.shape for matrix in found}
    if len(shapes) > 1:
        return MeanMatrix(learner, None, 0, False, ("The seeds' matrices have different sizes.",))
    values = np.mean([matrix.values for matrix in found], axis=0) if found else None
    tasks = {outcome.tasks or tuple(matrix.tasks) for outcome, matrix in zip(outcomes, found)}
    return MeanMatrix(learner, values, len(found), len(tasks) > 1, tuple(missing))


def selections(folder: Path, results: ContinualResults) -> list[SelectionView]:
    """One for each learner that names a selection with any seed."""
    named = (
        (learner, [o for o in results.seeds_of(learner.name) if o.selection])
        for learner in results.arranged
    )
    return [_selection(folder, learner, outcomes) for learner, outcomes in named if outcomes]


def _selection(folder: Path, learner: Learner, outcomes: Sequence[Outcome]) -> SelectionView:
    found: dict[int, Selection] = {}
    missing = []
    for outcome in outcomes:
        try:
            found[outcome.seed] = Selection.from_json(
                json.loads(_inside(folder, outcome.selection).read_text(encoding="utf-8"))
            )
        except (InputError, OSError, ValueError) as error:
            missing.append(f"Seed {outcome.seed} is left out: {_reason(error, outcome.selection)}")
    order, starts = next(
        (by_task(found[o.seed].classes, o.tasks) for o in outcomes if o.seed in found), ((), ())
    )
    relation = None
    if found:
        try:
            relation = pooled(list(found.values()))
        except InputError as error:
            missing.append(f"The seeds are not tested together: {error}")
    return SelectionView(learner, found, order, starts, relation, tuple(missing))


def by_task(
    classes: Sequence[str], tasks: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Classes in the order in which tasks named ``"apple, boy"`` bring them, and where each task
    begins.

    As they are, with no beginnings, where the tasks' names do not hold every class exactly once.
    """
    parts = [task.split(", ") for task in tasks]
    names = [name for part in parts for name in part]
    if sorted(names) != sorted(classes) or len(set(names)) != len(names):
        return tuple(range(len(classes))), ()
    sizes = [len(part) for part in parts]
    return tuple(list(classes).index(name) for name in names), tuple(
        sum(sizes[:place]) for place in range(len(sizes))
    )


def pools(folder: Path, results: ContinualResults) -> list[PoolView]:
    """One for each learner whose first seed kept pictures."""
    first = ((learner, results.seeds_of(learner.name)[:1]) for learner in results.arranged)
    return [
        PoolView(
            learner,
            outcome.seed,
            RESHAPED if learner.options.get("route") == "reshape" else KEPT,
            tuple(data_uri(folder, name) for name in outcome.pictures),
        )
        for learner, outcomes in first
        for outcome in outcomes
        if outcome.pictures
    ]


def orders(results: ContinualResults) -> dict[tuple[str, ...], list[int]]:
    """Tasks in order → the seeds that met them so."""
    found: dict[tuple[str, ...], list[int]] = {}
    for outcome in results.outcomes:
        if outcome.tasks and outcome.seed not in found.setdefault(outcome.tasks, []):
            found[outcome.tasks].append(outcome.seed)
    return found


def _inside(folder: Path, name: str | None) -> Path:
    path = (folder / (name or "")).resolve()
    if not name or not path.is_relative_to(folder.resolve()):
        raise InputError("no file of this run is named.")
    return path


def _reason(error: Exception, name: str | None) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} is missing."
    return str(error) if isinstance(error, InputError) else f"{name} cannot be read ({error})."
