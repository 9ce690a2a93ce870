"""What a task lacks: classes without a picture, samples that its authors publish."""

from __future__ import annotations

from matboard.tasks.task import Sample, Task

NAMED = 10
"""So many missing classes a note names."""


def missing_classes(task: Task) -> list[str]:
    """A sentence where a part of a classification task has no picture of some class; none for
    tasks whose samples have different candidates.
    """
    # Samples mostly share one list, which is hashed once then.
    shared = {id(s.candidates): s.candidates for s in (*task.train, *task.test)}
    lists = set(shared.values())
    classes = next(iter(lists))
    if len(lists) > 1 or not classes:
        return []
    found = []
    for part, samples in (("training", task.train), ("test", task.test)):
        if missing := _without(classes, samples):
            few = ", ".join(missing[:NAMED]) + (" …" if len(missing) > NAMED else "")
            found.append(
                f"{task.name}: {len(missing)} of {len(classes)} classes have no {part} picture:"
                f" {few}."
            )
    return found


def _without(classes: tuple[str, ...], samples: tuple[Sample, ...]) -> list[str]:
    present = {sample.answer for sample in samples}
    return [name for name in classes if name not in present]


def size_note(task: Task, sizes: tuple[int, int] | None) -> list[str]:
    """A sentence where a data set is not as large as its authors publish it, ``sizes`` being their
    numbers of training and test samples.
    """
    found = len(task.train), len(task.test)
    if sizes is None or found == sizes:
        return []
    return [
        f"{task.name} has {found[0]} training and {found[1]} test samples, the published set has"
        f" {sizes[0]} and {sizes[1]}: figures do not compare with those on the whole set."
    ]
