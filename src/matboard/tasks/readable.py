"""Pictures that can be decoded, and only those: found before anything is drawn by lot, so that as
many are had as were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

from matboard.errors import ImageError, TaskError
from matboard.tasks.draws import in_turns, shuffled_groups
from matboard.tasks.records import Record, Records
from matboard.tasks.task import Sample, Skipped, Task

NAMED = 20
"""So many skipped files a note names; `Task.skipped` has them all."""


Picture: TypeAlias = Record | Sample


def readable_records(records: Records) -> Records:
    """The records whose picture can be decoded; all are looked at."""
    skipped = _unreadable(records.found)
    bad = {skip.id for skip in skipped}
    found = [record for record in records.found if record.id not in bad]
    if records.found and not found:
        raise TaskError(
            f"None of the {len(records.found)} pictures can be read. {skipped[0].reason}"
        )
    return replace(records, found=found, skipped=[*records.skipped, *skipped])


def readable_task(task: Task, train: int | None, test: int | None, seed: int) -> Task:
    """At most so many samples of each part, drawn like `Task.limited`; where a picture cannot be
    decoded, the next one of its group takes its place.

    Hardly more are decoded than are wanted, and each is forgotten again. Raises TaskError where
    none of a part can be.
    """
    trained, left_out = _drawn(task, "train", task.train, train, seed)
    tested, left_out_too = _drawn(task, "test", task.test, test, seed)
    skipped = (*task.skipped, *left_out, *left_out_too)
    return replace(task, train=trained, test=tested, skipped=skipped)


def _drawn(
    task: Task, part: str, samples: tuple[Sample, ...], count: int | None, seed: int
) -> tuple[tuple[Sample, ...], list[Skipped]]:
    groups = shuffled_groups([sample.group for sample in samples], seed)
    skipped: list[Skipped] = []
    looked_at: set[int] = set()
    while True:
        drawn = sorted(in_turns(groups)[:count])
        if not drawn:
            raise TaskError(
                f"None of the {len(samples)} {part} pictures of task {task.name!r} can be read."
                f" {skipped[0].reason}"
            )
        unseen = [index for index in drawn if index not in looked_at]
        looked_at.update(unseen)
        found = _unreadable([samples[index] for index in unseen])
        if not found:
            return tuple(samples[index] for index in drawn), skipped
        skipped += found
        bad = {skip.id for skip in found}
        for number, group in enumerate(groups):
            groups[number] = [index for index in group if samples[index].id not in bad]


def _unreadable(pictures: Sequence[Picture]) -> list[Skipped]:
    """Those that cannot be decoded, in order."""
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(_trouble, pictures))
    skipped = []
    for picture, reason in zip(pictures, reasons, strict=True):
        if reason is not None:
            skipped.append(Skipped(picture.id, reason))
    return skipped


def _trouble(picture: Picture) -> str | None:
    try:
        picture.load()
    except (ImageError, OSError) as error:
        return str(error)
    return None


def with_note(task: Task, unit: str) -> Task:
    """The task with a sentence on what it skips, where it skips anything.

    Args:
        unit: what is counted, ``files`` or ``samples``.
    """
    if not task.skipped:
        return task
    looked_at = len(task.skipped) + len(task.train) + len(task.test)
    first = task.skipped[0]
    note = (
        f"Skipped {len(task.skipped)} of the {looked_at} {unit} looked at:"
        f" {_listed(skip.id for skip in task.skipped)}. The first: {first.reason}"
    )
    return replace(task, notes=(*task.notes, note))


def _listed(ids: Iterable[str]) -> str:
    names = list(ids)
    few = ", ".join(names[:NAMED])
    return f"{few} and {len(names) - NAMED} more" if len(names) > NAMED else few
