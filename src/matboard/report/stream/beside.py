"""What lies beside the results of a stream: accuracy matrices, selections, pictures of prompts;
silent about nothing missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from matboard.analysis import Relation, Selection, pooled
from matboard.errors import InputError, RunError
from matboard.metrics import AccuracyMatrix
from matboard.report.html import data_uri
from matboard.report.run_folder import RunFolder
from matboard.report.stream.table import by_seed, ordered
from matboard.results import SelectionResults, read
from matboard.results.stream import Learner, MetTask, Outcome

FORMS: dict[Literal["kept", "reshaped"] | None, str] = {
    "reshaped": "raw values reshaped; not a picture the model sees",
    "kept": "in the form they are kept",
    None: "in a form that was not recorded",
}


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
        starts: where tasks begin within the order; empty where classes come in several tasks.
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
    """A learner's prompts as pictures, from its first seed; None for one that is not there."""

    learner: Learner
    seed: int
    form: str
    pictures: tuple[str | None, ...]


def mean_matrices(
    run: RunFolder, learners: Sequence[Learner], outcomes: Sequence[Outcome]
) -> list[MeanMatrix]:
    """One for each learner that has an outcome."""
    found = []
    for learner in ordered(learners):
        mine = by_seed(outcomes, learner.name)
        if mine:
            found.append(_mean_matrix(run, learner, mine))
    return found


def _mean_matrix(
    run: RunFolder, learner: Learner, outcomes: Sequence[Outcome]
) -> MeanMatrix:
    found: list[NDArray[np.float64]] = []
    missing = []
    for outcome in outcomes:
        try:
            path = _file(run, outcome.matrix)
            found.append(AccuracyMatrix.from_csv(path).values)
        except (InputError, OSError, StopIteration) as error:
            missing.append(_left_out(outcome, error, outcome.matrix))
    if len({values.shape for values in found}) > 1:
        return MeanMatrix(
            learner, None, 0, False, ("The seeds' matrices have different sizes.",)
        )
    values = np.mean(found, axis=0) if found else None
    tasks = {outcome.tasks for outcome in outcomes}
    return MeanMatrix(learner, values, len(found), len(tasks) > 1, tuple(missing))


def selections(
    run: RunFolder, learners: Sequence[Learner], outcomes: Sequence[Outcome]
) -> list[SelectionView]:
    """One for each learner that names a selection with any seed."""
    views = []
    for learner in ordered(learners):
        named = [o for o in by_seed(outcomes, learner.name) if o.selection is not None]
        if named:
            views.append(_selection(run, learner, named))
    return views


def _selection(
    run: RunFolder, learner: Learner, outcomes: Sequence[Outcome]
) -> SelectionView:
    found: dict[int, Selection] = {}
    missing = []
    order: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    for outcome in outcomes:
        try:
            found[outcome.seed] = read_selection(_file(run, outcome.selection))
        except InputError as error:
            missing.append(_left_out(outcome, error, outcome.selection))
            continue
        if len(found) == 1:
            order, starts = by_task(found[outcome.seed].classes, outcome.tasks)
    relation = None
    if found:
        try:
            relation = pooled(list(found.values()))
        except InputError as error:
            missing.append(f"The seeds are not tested together: {error}")
    return SelectionView(learner, found, order, starts, relation, tuple(missing))


def read_selection(path: Path) -> Selection:
    """A saved selection. Raises RunError."""
    content = read(path)
    if not isinstance(content, SelectionResults):
        raise RunError(
            f"{path} holds no selection but results of kind {content.kind!r}."
        )
    return Selection.from_json(content.model_dump())


def by_task(
    classes: Sequence[str], tasks: Sequence[MetTask]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Classes in the order in which tasks bring them, and where each task begins.

    As they are, with no beginnings, where the tasks do not hold every class exactly once.
    """
    names = [name for task in tasks for name in task.classes]
    if sorted(names) != sorted(classes):
        return tuple(range(len(classes))), ()
    places = {name: place for place, name in enumerate(classes)}
    sizes = [len(task.classes) for task in tasks]
    starts = accumulate(sizes[:-1], initial=0)
    return tuple(places[name] for name in names), tuple(starts)


def pools(
    run: RunFolder, learners: Sequence[Learner], outcomes: Sequence[Outcome]
) -> list[PoolView]:
    """One for each learner whose first seed kept pictures."""
    views = []
    for learner in ordered(learners):
        for outcome in by_seed(outcomes, learner.name)[:1]:
            pictures = tuple(data_uri(run.file(name)) for name in outcome.pictures)
            if pictures:
                form = FORMS[learner.picture_form]
                views.append(PoolView(learner, outcome.seed, form, pictures))
    return views


def orders(outcomes: Sequence[Outcome]) -> dict[tuple[MetTask, ...], list[int]]:
    """Tasks in order → the seeds that met them so."""
    found: dict[tuple[MetTask, ...], list[int]] = {}
    for outcome in outcomes:
        seeds = found.setdefault(outcome.tasks, [])
        if outcome.seed not in seeds:
            seeds.append(outcome.seed)
    return found


def _file(run: RunFolder, name: str | None) -> Path:
    path = run.file(name or "")
    if not name or path is None:
        raise InputError("no file of this run is named.")
    if not path.is_file():
        raise InputError(f"{name} is missing.")
    return path


def _left_out(outcome: Outcome, error: Exception, name: str | None) -> str:
    reason = (
        str(error)
        if isinstance(error, InputError)
        else f"{name} cannot be read ({error})."
    )
    return f"Seed {outcome.seed} is left out: {reason}"
