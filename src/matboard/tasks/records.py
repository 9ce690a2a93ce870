"""From what a file says of its samples to a task: defaults, candidates, and splits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from PIL.Image import Image

from matboard.errors import TaskError, shown
from matboard.tasks.draws import balanced_indices
from matboard.tasks.task import Sample, Skipped, Task, is_text

QUESTION = "This is a photo of a"
"""The instruction of the TVP authors' code, for every model and picture; the answer completes it.
"""
CAPTION = "this is a photo of a {name}"
"""The caption of the TVP authors' code, article included."""
TEST_FRACTION = 0.2
"""How much of a set without a test part becomes one. Guess."""

Split = Literal["train", "test"]
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""Words in folder, file and split names → the split they mean; of several test folders the first
here is taken.
"""
FIELDS = (
    "image",
    "question",
    "answer",
    "answers",
    "candidates",
    "caption",
    "id",
    "split",
)
"""What JSON lines and parquet columns may be called."""


@dataclass(frozen=True)
class Record:
    """One sample as its file tells it; None where the file says nothing.

    Attributes:
        where: file and line or row, for error messages.
        picture: equal where two records ask about the same picture; a split made here keeps those
            together.
        answer: for pictures in classes, the class name.
        candidates: an empty tuple makes the answer open; None ranks it against the other answers.
        file: what the picture is read from.
        accepted: answers that are right besides ``answer``.
        votes: how many people gave each of ``answer`` and ``accepted``, where that is known.
    """

    where: str
    id: str
    picture: str
    load: Callable[[], Image]
    answer: str
    split: Split | None = None
    question: str | None = None
    candidates: tuple[str, ...] | None = None
    caption: str | None = None
    file: Path | None = None
    accepted: tuple[str, ...] = ()
    votes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Records:
    """What a reader found: records, files that are no pictures, and sentences on what it decided.

    Attributes:
        unit: what is counted when some are skipped: ``files`` or ``samples``.
    """

    found: list[Record]
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unit: str = "samples"

    @property
    def is_split(self) -> bool:
        """Whether a record says which split it belongs to."""
        return any(record.split is not None for record in self.found)


def record_of(
    said: Mapping[str, Any],
    where: str,
    picture: str,
    load: Callable[[], Image],
    default_id: str,
    split: Split | None = None,
) -> Record:
    """A record of the fields of a JSON line or a parquet row. Raises TaskError for a field of the
    wrong type.
    """
    votes = _right(said, where)
    answer, *accepted = votes
    return Record(
        where=where,
        id=_optional(said, "id", where) or default_id,
        picture=picture,
        load=load,
        answer=answer,
        split=split or _split_named(_optional(said, "split", where), where),
        question=_optional(said, "question", where),
        candidates=_texts(said, "candidates", where),
        caption=_optional(said, "caption", where),
        accepted=tuple(accepted),
        votes=tuple(votes.values()) if max(votes.values()) > 1 else (),
    )


def text_of(said: Mapping[str, Any], key: str, where: str) -> str:
    """The field as text, numbers included. Raises TaskError where it is anything else."""
    return checked_text(said.get(key), key, where)


def checked_text(value: Any, key: str, where: str) -> str:
    """A value as text, numbers included; ``key`` is what errors call it. Raises TaskError for
    anything else.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TaskError(f"{where}: {key} must be text, but is {shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise TaskError(
            f"{where}: {key} must be text or a finite number, but is {value}."
        )
    text = str(value).strip()
    if not is_text(text):
        raise TaskError(
            f"{where}: {key} has characters that are no text (half a surrogate pair):"
            f" {shown(text)}."
        )
    return text


def _optional(said: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if said.get(key) is None else text_of(said, key, where)


def _texts(said: Mapping[str, Any], key: str, where: str) -> tuple[str, ...] | None:
    value = said.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        raise TaskError(
            f"{where}: {key} must be a list of texts, but is {shown(value)}."
        )
    return tuple(checked_text(entry, f"one of its {key}", where) for entry in value)


def _right(said: Mapping[str, Any], where: str) -> dict[str, int]:
    """Every right answer and how often ``answers`` has it: ``answer`` first, where it is given,
    else the most frequent. As in VQA, an answer may also be an object with the field ``answer``.
    """
    listed = said.get("answers")
    if isinstance(listed, list):
        plain = [a["answer"] if _is_vote(a) else a for a in listed]
        said = {**said, "answers": plain}
    answers = _texts(said, "answers", where)
    if answers is None:
        return {text_of(said, "answer", where): 1}
    if not answers:
        raise TaskError(f"{where}: answers is empty; write what counts as right.")
    first = _optional(said, "answer", where)
    counted = dict(Counter(answers).most_common())
    return counted if first is None else {first: counted.get(first, 0), **counted}


def _is_vote(answer: Any) -> bool:
    return isinstance(answer, Mapping) and "answer" in answer


def _split_named(name: str | None, where: str) -> Split | None:
    if name is not None and name.lower() not in SPLITS:
        raise TaskError(f"{where}: split is {shown(name)}; expected train or test.")
    return None if name is None else SPLITS[name.lower()]


def assemble(name: str, records: Records, *, seed: int = 0) -> Task:
    """A task of these records, what they leave out filled in; ``seed`` decides the split where
    records state none.

    Records without candidates are ranked against each other's answers: yes against no, everything
    else together. Records with questions of their own are not mirrored, since those may ask for
    the left. Raises TaskError.
    """
    if not records.found:
        raise TaskError(f"Task {name!r} holds no pictures.")
    found, notes = _with_splits(records.found, seed)
    rivals = _rivals(record.answer for record in found if record.candidates is None)
    train: list[Sample] = []
    test: list[Sample] = []
    for record in found:
        sample = _sample(record, rivals.get(record.answer, ()))
        part = train if record.split == "train" else test
        part.append(sample)
    return Task(
        name,
        tuple(train),
        tuple(test),
        mirror=all(record.question is None for record in found),
        notes=(*records.notes, *notes),
        skipped=tuple(records.skipped),
    )


def _sample(record: Record, rivals: tuple[str, ...]) -> Sample:
    caption = CAPTION.format(name=record.answer)
    if record.question is not None:
        # The paper's code shows no captions for questions of other kinds; question and answer in
        # one is our guess.
        caption = f"{record.question} {record.answer}"
    try:
        return Sample(
            id=record.id,
            load=record.load,
            question=QUESTION if record.question is None else record.question,
            answer=record.answer,
            candidates=rivals if record.candidates is None else record.candidates,
            caption=caption if record.caption is None else record.caption,
            group=record.answer,
            file=record.file,
            accepted=record.accepted,
            votes=record.votes,
        )
    except TaskError as error:
        raise TaskError(f"{record.where}: {error}") from None


def _rivals(answers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Answer → what it is ranked against: yes and no against each other, everything else together,
    numbers in their order.
    """
    distinct = sorted(set(answers), key=_numbers_first)
    polar = tuple(a for a in distinct if a.lower() in ("no", "yes"))
    other = tuple(a for a in distinct if a not in polar)
    return {answer: polar if answer in polar else other for answer in distinct}


def _numbers_first(answer: str) -> tuple[bool, int, str, str]:
    """Sorts numbers before words, and by size: they may have more digits than ``int`` takes."""
    if not answer.isdecimal():
        return True, 0, "", answer
    digits = answer.lstrip("0")
    return False, len(digits), digits, answer


def _with_splits(found: list[Record], seed: int) -> tuple[list[Record], list[str]]:
    """Records that all state their split, and a note where that had to be decided here."""
    stated = {record.split for record in found}
    if None not in stated:
        return found, []
    if len(stated) > 1:
        bare = next(record for record in found if record.split is None)
        raise TaskError(
            f"{bare.where}: states no split, but other samples do; write train or test for every"
            " sample, or for none."
        )
    drawn = _drawn_for_test(found, seed)
    pictures = len({record.picture for record in found})
    note = (
        f"There is no test part: {len(drawn)} of {pictures} pictures were drawn as one (seed"
        f" {seed}, balanced)."
    )
    split: list[Record] = []
    for record in found:
        part: Split = "test" if record.picture in drawn else "train"
        split.append(replace(record, split=part))
    return split, [note]


def _drawn_for_test(found: Sequence[Record], seed: int) -> set[str]:
    """Pictures, balanced by the answer of the first record about each."""
    answers: dict[str, str] = {}
    for record in found:
        answers.setdefault(record.picture, record.answer)
    pictures = list(answers)
    count = max(1, round(TEST_FRACTION * len(pictures)))
    held = balanced_indices(list(answers.values()), count, seed)
    return {pictures[index] for index in held}
