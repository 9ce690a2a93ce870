"""Pictures that can be decoded, and only those: found before anything is drawn by lot, so that as
many are had as were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from PIL.Image import Image

from matboard.errors import ImageError, TaskError
from matboard.tasks.draws import balanced_indices
from matboard.tasks.records import Records
from matboard.tasks.task import Sample, Skipped, Task

NAMED = 20
"""So many skipped files a note names; `Task.skipped` has them all."""


class Picture(Protocol):
    """A record or a sample."""

    @property
    def id(self) -> str: ...

    @property
    def load(self) -> Callable[[], Image]: ...


P = TypeVar("P", bound=Picture)


@dataclass(frozen=True)
class Looked:
    """What decoding showed.

    Attributes:
        readable: positions, in the order they were looked at.
        skipped: the others that were looked at.
    """

    readable: list[int]
    skipped: list[Skipped]


def readable_records(records: Records) -> Records:
    """The records whose picture can be decoded; all are looked at."""
    looked = _look(records.found, range(len(records.found)))
    found = [records.found[position] for position in looked.readable]
    if records.found and not found:
        raise TaskError(
            f"None of the {len(records.found)} pictures can be read. {looked.skipped[0].reason}"
        )
    return replace(records, found=found, skipped=[*records.skipped, *looked.skipped])


def readable_task(task: Task, train: int | None, test: int | None, seed: int) -> Task:
    """At most so many samples of each part, drawn like `Task.limited`; where a picture cannot be
    decoded, the next one drawn takes its place.

    No more are decoded than are wanted, and each is forgotten again. Raises TaskError where none of
    a part can be.
    """
    trained, left_out = _drawn(task, "train", task.train, train, seed)
    tested, left_out_too = _drawn(task, "test", task.test, test, seed)
    skipped = (*task.skipped, *left_out, *left_out_too)
    return replace(task, train=trained, test=tested, skipped=skipped)


def _drawn(
    task: Task, part: str, samples: tuple[Sample, ...], count: int | None, seed: int
) -> tuple[tuple[Sample, ...], list[Skipped]]:
    wanted = len(samples) if count is None else min(count, len(samples))
    order: Sequence[int] = range(len(samples))
    if wanted < len(samples):
        order = balanced_indices([s.group for s in samples], len(samples), seed)
    looked = _look(samples, order, wanted)
    if not looked.readable:
        raise TaskError(
            f"None of the {len(samples)} {part} pictures of task {task.name!r} can be read."
            f" {looked.skipped[0].reason}"
        )
    return tuple(samples[position] for position in sorted(looked.readable)), looked.skipped


def _look(pictures: Sequence[P], order: Sequence[int], wanted: int | None = None) -> Looked:
    """Decode in this order until as many are readable as are wanted; without a number, all."""
    looked = Looked([], [])
    wanted = len(order) if wanted is None else wanted
    start = 0
    with ThreadPoolExecutor() as pool:
        while len(looked.readable) < wanted and start < len(order):
            chunk = order[start : start + wanted - len(looked.readable)]
            start += len(chunk)
            reasons = pool.map(_trouble, (pictures[position] for position in chunk))
            for position, reason in zip(chunk, reasons, strict=True):
                if reason is None:
                    looked.readable.append(position)
                else:
                    looked.skipped.append(Skipped(pictures[position].id, reason))
    return looked


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
