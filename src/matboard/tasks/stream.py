"""A task stream: one labelled data set cut into tasks that come one after the other.

*Class-incremental*: each task brings classes that no other has; the order of the classes is drawn
from a seed. *Domain-incremental*: each task brings the same classes in other pictures. Labels are
joint: one numbering for the whole stream, and at test nobody says which task a picture belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from matboard.errors import TaskError, shown
from matboard.tasks.task import Sample, Skipped, Task

Named = TypeVar("Named", Sample, Skipped)


@dataclass(frozen=True)
class StreamTask:
    """One task of a stream.

    Attributes:
        index: its place in the stream, from 0.
        classes: joint labels of the classes it brings.
        train, test: its samples; a learner is given the first only.
        mirror: whether a horizontal flip keeps the labels true.
    """

    index: int
    name: str
    classes: tuple[int, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    mirror: bool = True

    def __repr__(self) -> str:
        return (
            f"StreamTask({self.index}: {shown(self.name)}, {len(self.train)} training and"
            f" {len(self.test)} test samples)"
        )


@dataclass(frozen=True)
class TaskStream:
    """Tasks in order, over one label space.

    Attributes:
        classes: names; a joint label is an index into them, the same for every order of the stream,
            and so `Sample.label`.
        skipped, notes: what reading left out of the data set, and what it says about it.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    tasks: tuple[StreamTask, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"TaskStream({self.name}: {self.kind}, {len(self.tasks)} tasks,"
            f" {len(self.classes)} classes)"
        )


def class_incremental(task: Task, tasks: int = 10, seed: int | None = 0) -> TaskStream:
    """Cut a task's classes into ``tasks`` groups, as equal as they go, in an order drawn from
    ``seed`` (None: the natural order).

    Raises:
        TaskError: fewer classes than tasks, a class without training or test samples, open answers.
    """
    classes = _classes(task)
    if not 1 <= tasks <= len(classes):
        raise TaskError(
            f"{task.name} has {len(classes)} classes, which cannot be cut into {tasks} tasks; ask"
            f" for 1 to {len(classes)}."
        )
    _check_full(task, classes)
    order = np.arange(len(classes))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(classes))
    made = []
    for index, group in enumerate(np.array_split(order, tasks)):
        labels = tuple(group.tolist())
        names = [classes[label] for label in labels]
        made.append(
            StreamTask(
                index=index,
                name=", ".join(names),
                classes=labels,
                train=_of_classes(task.train, names),
                test=_of_classes(task.test, names),
                mirror=task.mirror,
            )
        )
    return TaskStream(
        task.name,
        "class-incremental",
        classes,
        tuple(made),
        task.skipped,
        task.notes,
    )


def _of_classes(samples: Sequence[Sample], names: Sequence[str]) -> tuple[Sample, ...]:
    wanted = set(names)
    return tuple(sample for sample in samples if sample.answer in wanted)


def domain_incremental(tasks: Sequence[Task]) -> TaskStream:
    """Tasks over the same classes in other pictures, one domain each, in the order given.

    Raises:
        TaskError: no task, other classes in a later task, a class without training or test samples.
    """
    if not tasks:
        raise TaskError("A domain-incremental stream needs at least one task.")
    classes = _classes(tasks[0])
    made = []
    for index, task in enumerate(tasks):
        if _classes(task) != classes:
            raise TaskError(
                f"The domains of a stream share their classes, but {task.name} and {tasks[0].name}"
                " differ."
            )
        _check_full(task, classes)
        made.append(
            StreamTask(
                index=index,
                name=task.name,
                classes=tuple(range(len(classes))),
                train=_of_domain(task.train, task.name),
                test=_of_domain(task.test, task.name),
                mirror=task.mirror,
            )
        )
    name = " → ".join(task.name for task in tasks)
    return TaskStream(
        name,
        "domain-incremental",
        classes,
        tuple(made),
        tuple(one for task in tasks for one in _of_domain(task.skipped, task.name)),
        tuple(f"{task.name}: {note}" for task in tasks for note in task.notes),
    )


def _of_domain(found: Sequence[Named], name: str) -> tuple[Named, ...]:
    return tuple(replace(one, id=f"{name}/{one.id}") for one in found)


def _classes(task: Task) -> tuple[str, ...]:
    lists = {s.candidates for s in (*task.train, *task.test)}
    if len(lists) != 1 or not next(iter(lists)):
        raise TaskError(
            f"{task.name} is no classification task: a stream needs the same list of candidate"
            " answers for every sample."
        )
    return next(iter(lists))


def _check_full(task: Task, classes: tuple[str, ...]) -> None:
    for part, samples in (("training", task.train), ("test", task.test)):
        present = {s.answer for s in samples}
        if missing := [name for name in classes if name not in present]:
            few = ", ".join(missing[:5])
            if len(missing) > 5:
                few += " …"
            raise TaskError(
                f"{len(missing)} of {task.name}'s {len(classes)} classes have no {part} picture"
                f" ({few}); a stream needs one of each: use more pictures or another seed."
            )
