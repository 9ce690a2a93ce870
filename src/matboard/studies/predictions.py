"""Predictions of a model that only its owner can ask: the pictures to be shown to it, and the files
that come back.

A file of predictions is CSV with a header, or JSON lines. A row is one picture shown in one way:

    id       the picture, as the task or the manifest calls it
    prompt   how it was shown; ``none`` is the picture without any prompt
    right    1 or 0; or else
    answer   what the model said, to be compared with the task's right answers

Other columns are passed over, so the manifest itself can be handed back with answers in it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from matboard.disk import read_regular
from matboard.errors import PredictionsError, shown
from matboard.metrics import generation_correct
from matboard.runs import replace_atomically, write_atomically
from matboard.studies.choose.candidates import Candidates
from matboard.studies.progress import Progress
from matboard.tasks.task import Sample, Task
from matboard.transfer.choose import NONE
from matboard.transfer.conditions import show

MOST_BYTES = 2**28
"""A row has some 50 bytes: five million predictions."""
MANIFEST = "manifest.jsonl"
RIGHT = {"1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True)
class Predictions:
    """Which pictures were right, for every way of showing them.

    Attributes:
        right: name → id → right or wrong; the same ids for all.
    """

    right: Mapping[str, Mapping[str, bool]]

    @property
    def names(self) -> list[str]:
        """The prompts, as they come first in the files."""
        return [name for name in self.right if name != NONE]

    @property
    def ids(self) -> list[str]:
        """The pictures."""
        return list(self.right[NONE])

    @property
    def content(self) -> list[Any]:
        """Everything, as JSON values in an order of its own."""
        return [(name, sorted(own.items())) for name, own in sorted(self.right.items())]


def read_predictions(
    files: Sequence[Path], task: Task | None, known: Sequence[str] | None
) -> Predictions:
    """Read files of predictions (see the module), all together.

    Args:
        task: holds the right answers; None where the files say right or wrong.
        known: the prompts that there are; None: whatever the files name.

    Raises:
        PredictionsError: a file cannot be read or holds no such rows; a picture twice with one
            prompt; no rows without a prompt, or other pictures for one prompt than for another; an
            unknown prompt or picture.
    """
    samples = None
    if task is not None:
        samples = {sample.id: sample for sample in (*task.train, *task.test)}
    right: dict[str, dict[str, bool]] = {}
    first: dict[tuple[str, str], str] = {}
    for file in files:
        for where, row in _rows(file):
            name = _text(row, "prompt", where)
            id = _text(row, "id", where)
            if known is not None and name not in (NONE, *known):
                raise PredictionsError(
                    f"{where} names the prompt {shown(name)}, which is not among those given:"
                    f" {', '.join((NONE, *known))}."
                )
            before = first.setdefault((name, id), where)
            if before != where:
                raise PredictionsError(
                    f"Picture {shown(id)} stands with the prompt {shown(name)} twice, in {before}"
                    f" and {where}; keep one row."
                )
            right.setdefault(name, {})[id] = _right(row, id, where, samples)
    _check_pairs(right, known)
    return Predictions(right)


def write_pictures(
    candidates: Candidates, samples: Sequence[Sample], out: Path
) -> Iterator[Progress]:
    """Write every picture in every way, and a manifest for whoever asks the model: one JSON object
    a line with ``id``, ``prompt``, ``picture`` (a file beside the manifest), ``question`` and
    ``candidates``, without the right answer.

    Raises RunError where the folder cannot be written.
    """
    lines = []
    total = len(candidates.shown) * len(samples)
    for way, name in enumerate(candidates.shown):
        for number, sample in enumerate(samples):
            picture = f"{way:02d}/{number:05d}.png"
            prompted = show(candidates.prompt(name), sample.load())
            replace_atomically(out / picture, partial(_save_png, prompted))
            lines.append(_line(sample, name, picture))
            yield Progress("write pictures", len(lines), total, name)
    write_atomically(out / MANIFEST, "".join(lines).encode())


def _save_png(picture: Image, file: Path) -> None:
    picture.save(file, "PNG")


def _line(sample: Sample, prompt: str, picture: str) -> str:
    row = {
        "id": sample.id,
        "prompt": prompt,
        "picture": picture,
        "question": sample.question,
        "candidates": list(sample.candidates),
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where it stands, row) for each."""
    try:
        text = read_regular(file, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PredictionsError(f"{file} cannot be read: {reason}.") from None
    except UnicodeDecodeError as error:
        raise PredictionsError(f"{file} is not UTF-8 text: {error}.") from None
    rows = _objects if text.lstrip().startswith("{") else _table
    try:
        yield from rows(text, file.name)
    except (csv.Error, ValueError, RecursionError) as error:
        raise PredictionsError(
            f"{file} holds no predictions ({error}); expected CSV with a header, or one JSON object"
            " a line, with id, prompt, and right or answer."
        ) from None


def _objects(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is {type(row).__name__}")
            yield f"{name}, line {number}", row


def _table(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = table.fieldnames or []
    if not {"id", "prompt"} <= set(columns):
        raise ValueError(f"its header is {shown(', '.join(columns))}")
    for row in table:
        yield f"{name}, line {table.line_num}", row


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    found = row.get(key)
    if not isinstance(found, str | int) or not str(found).strip():
        raise PredictionsError(f"{where} has no {key}; every row needs one.")
    return str(found)


def _right(
    row: Mapping[str, Any], id: str, where: str, samples: Mapping[str, Sample] | None
) -> bool:
    said = row.get("right")
    if said not in (None, ""):
        known = RIGHT.get(str(said).strip().lower())
        if known is None:
            raise PredictionsError(
                f"{where} has right = {shown(said)}; expected 1 or 0."
            )
        return known
    answer = row.get("answer")
    if not isinstance(answer, str):
        raise PredictionsError(
            f"{where} has neither right (1 or 0) nor an answer; every row needs one of them."
        )
    if samples is None:
        raise PredictionsError(
            f"{where} holds an answer, but nothing says what would be right; name the task, or"
            " write right (1 or 0)."
        )
    sample = samples.get(id)
    if sample is None:
        raise PredictionsError(
            f"{where} names the picture {shown(id)}, which the task does not have."
        )
    return any(_is_given(answer, one, sample) for one in sample.right)


def _is_given(answer: str, right: str, sample: Sample) -> bool:
    candidates = sample.candidates if right in sample.candidates else ()
    return bool(generation_correct(answer, right, candidates))


def _check_pairs(
    right: Mapping[str, Mapping[str, bool]], known: Sequence[str] | None
) -> None:
    if NONE not in right:
        raise PredictionsError(
            f"There are no rows of the prompt {NONE!r}, the pictures without any prompt; prompts"
            " are compared with it."
        )
    missing = [name for name in known or () if name not in right]
    if missing:
        raise PredictionsError(
            f"There are no rows of the prompt {shown(missing[0])}; every prompt must be judged."
        )
    for name in right:
        for first, second in ((name, NONE), (NONE, name)):
            lacking = next((id for id in right[second] if id not in right[first]), None)
            if lacking is not None:
                raise PredictionsError(
                    f"Picture {shown(lacking)} stands with the prompt {second!r}, but not with"
                    f" {first!r}; every prompt must be judged on the same pictures."
                )
