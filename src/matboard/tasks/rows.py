"""From what a file says of its samples to a task: defaults, candidates, splits, and pictures that
cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from PIL.Image import Image

from matboard.errors import ImageError, TaskError
from matboard.tasks.task import Sample, Skipped, Task, balanced_indices

QUESTION = "This is a photo of a"
"""The instruction of the TVP authors' code, for every model and picture; the answer completes it.
"""
CAPTION = "this is a photo of a {name}"
"""The caption of the TVP authors' code, article included."""
TEST_FRACTION = 0.2
"""How much of a set without a test part becomes one. Guess."""

Part = Literal["train", "test"]
PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""Words in folder, file and split names → the part they mean; of several test parts the first here
is taken.
"""
FIELDS = ("image", "question", "answer", "candidates", "caption", "id", "split")
"""What JSON lines and parquet columns may be called."""


@dataclass(frozen=True)
class Row:
    """One sample as its file tells it; None where the file says nothing.

    Attributes:
        where: file and line or row, for error messages.
        picture: equal where two rows ask about the same picture; a split made here keeps those
            together.
        answer: for pictures in classes, the class name.
        candidates: an empty tuple makes the answer open; None ranks it against the other answers.
        file: what the picture is read from.
    """

    where: str
    id: str
    picture: str
    load: Callable[[], Image]
    answer: str
    part: Part | None = None
    question: str | None = None
    candidates: tuple[str, ...] | None = None
    caption: str | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Reading:
    """What a reader found: rows, files that are no pictures, and sentences on what it decided."""

    rows: list[Row]
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def row_of(
    said: Mapping[str, Any],
    where: str,
    picture: str,
    load: Callable[[], Image],
    default_id: str,
    part: Part | None = None,
) -> Row:
    """A row of the fields of a JSON line or a parquet row. Raises TaskError for a field of the
    wrong type.
    """
    return Row(
        where=where,
        id=_optional(said, "id", where) or default_id,
        picture=picture,
        load=load,
        answer=text_of(said, "answer", where),
        part=part or _part(_optional(said, "split", where), where),
        question=_optional(said, "question", where),
        candidates=_candidates(said.get("candidates"), where),
        caption=_optional(said, "caption", where),
    )


def text_of(said: Mapping[str, Any], key: str, where: str) -> str:
    """The field as text, numbers included. Raises TaskError where it is missing or anything else."""
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TaskError(f"{where}: {key} must be text, but is {value!r}.")
    return str(value).strip()


def _optional(said: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if said.get(key) is None else text_of(said, key, where)


def _part(name: str | None, where: str) -> Part | None:
    if name is not None and name.lower() not in PARTS:
        raise TaskError(f"{where}: split is {name!r}; expected train or test.")
    return None if name is None else PARTS[name.lower()]


def _candidates(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise TaskError(f"{where}: candidates must be a list of texts, but is {value!r}.")
    return tuple(text_of({"a candidate": c}, "a candidate", where) for c in value)


def assemble(name: str, reading: Reading, *, seed: int = 0) -> Task:
    """A task of these rows, what they leave out filled in; ``seed`` decides the split where rows
    state none.

    Rows without candidates are ranked against each other's answers: yes against no, everything else
    together. Rows with questions of their own are not mirrored, since those may ask for the left.
    Raises TaskError.
    """
    if not reading.rows:
        raise TaskError(f"Task {name!r} holds no pictures.")
    rows, notes = _split(reading.rows, seed)
    candidates = _rivals(row.answer for row in rows if row.candidates is None)
    parts: dict[Part | None, list[Sample]] = {"train": [], "test": []}
    for row in rows:
        parts[row.part].append(_sample(row, candidates.get(row.answer, ())))
    mirror = all(row.question is None for row in rows)
    task = Task(
        name,
        tuple(parts["train"]),
        tuple(parts["test"]),
        mirror=mirror,
        notes=(*reading.notes, *notes),
    )
    return _skipping(task, reading.skipped)


def _sample(row: Row, rivals: tuple[str, ...]) -> Sample:
    # The paper's code shows no captions for questions of other kinds; question and answer in one is
    # our guess.
    caption = (
        CAPTION.format(name=row.answer) if row.question is None else f"{row.question} {row.answer}"
    )
    try:
        return Sample(
            id=row.id,
            load=row.load,
            question=QUESTION if row.question is None else row.question,
            answer=row.answer,
            candidates=rivals if row.candidates is None else row.candidates,
            caption=caption if row.caption is None else row.caption,
            group=row.answer,
            file=row.file,
        )
    except TaskError as error:
        raise TaskError(f"{row.where}: {error}") from None


def _rivals(answers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Answer → what it is ranked against: yes and no against each other, everything else together,
    numbers in their order.
    """
    distinct = sorted(
        set(answers), key=lambda a: (not a.isdecimal(), int(a) if a.isdecimal() else 0, a)
    )
    polar = tuple(a for a in distinct if a.lower() in ("no", "yes"))
    other = tuple(a for a in distinct if a not in polar)
    return {answer: polar if answer in polar else other for answer in distinct}


def _split(rows: list[Row], seed: int) -> tuple[list[Row], list[str]]:
    """Rows that all state their part, and a note where that had to be decided here."""
    stated = {row.part for row in rows}
    if None not in stated:
        return rows, []
    if len(stated) > 1:
        row = next(row for row in rows if row.part is None)
        raise TaskError(
            f"{row.where}: states no split, but other samples do; write train or test for every"
            " sample, or for none."
        )
    first = {row.picture: row.answer for row in reversed(rows)}
    pictures = list(first)
    held = balanced_indices(
        list(first.values()), max(1, round(TEST_FRACTION * len(pictures))), seed
    )
    drawn = {pictures[i] for i in held}
    note = (
        f"There is no test part: {len(drawn)} of {len(pictures)} pictures were drawn as one (seed"
        f" {seed}, balanced)."
    )
    return [replace(row, part="test" if row.picture in drawn else "train") for row in rows], [note]


def drop_unreadable(task: Task) -> Task:
    """The task without the samples whose picture cannot be decoded; ``skipped`` and ``notes`` say
    which and why.

    Every picture is decoded once, in threads, and forgotten. Raises TaskError where none of a part
    can be.
    """
    with ThreadPoolExecutor() as pool:
        reasons = dict(pool.map(_trouble, (*task.train, *task.test)))
    kept = {}
    for part, samples in (("train", task.train), ("test", task.test)):
        kept[part] = tuple(sample for sample in samples if reasons[sample.id] is None)
        if not kept[part]:
            raise TaskError(
                f"None of the {len(samples)} {part} pictures of task {task.name!r} can be read."
                f" {reasons[samples[0].id]}"
            )
    skipped = [Skipped(id, reason) for id, reason in reasons.items() if reason is not None]
    return _skipping(replace(task, train=kept["train"], test=kept["test"]), skipped)


def _trouble(sample: Sample) -> tuple[str, str | None]:
    try:
        sample.load()
    except (ImageError, OSError) as error:
        return sample.id, str(error)
    return sample.id, None


def _skipping(task: Task, skipped: Sequence[Skipped]) -> Task:
    if not skipped:
        return task
    count, first = len(skipped) + len(task.train) + len(task.test), skipped[0]
    reason = f"Skipped {len(skipped)} of {count} files; the first, {first.id}: {first.reason}"
    return replace(task, skipped=(*task.skipped, *skipped), notes=(*task.notes, reason))
