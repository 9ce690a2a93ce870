"""JSON lines: one object a line, its picture in a file of its own."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from matboard.errors import TaskError, shown
from matboard.images import decode
from matboard.tasks.records import FIELDS, Record, Records, record_of, text_of

LONGEST = 2**20
"""No line has more bytes: a question with a thousand candidates has some 20,000."""
NAMES = 50
"""So many of an object's fields are compared with ours, which are 8, to find typing errors."""


def jsonl_records(path: Path) -> Records:
    """One JSON object a line: ``image`` (path, relative to the file) and ``answer`` or ``answers``
    (a list, of which the most frequent, or the first, is learned); optional question, candidates,
    caption, id, split.
    """
    found = []
    for number, line in _lines(path):
        if line.strip():
            found.append(_record(line, number, path))
    return Records(found)


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line's place, for errors, and its object, whatever its fields. Raises TaskError."""
    for number, line in _lines(path):
        if line.strip():
            where = f"{path.name}, line {number}"
            yield where, _object(line, where)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as handle:
        number = 0
        while line := handle.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise TaskError(
                    f"{path.name}, line {number}: has more than {LONGEST} bytes; write one object a"
                    " line."
                )
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise TaskError(
                    f"{path} is not UTF-8 text: line {number}, {error}."
                ) from None


def _record(line: str, number: int, path: Path) -> Record:
    where = f"{path.name}, line {number}"
    said = _object(line, where)
    check_names(said, where)
    image = text_of(said, "image", where)
    file = path.parent / image
    record = record_of(
        said, where, image, partial(decode, file), default_id=f"{image}#{number}"
    )
    return replace(record, file=file)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        said = json.loads(line, object_pairs_hook=partial(_once, where=where))
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{where}: is not JSON ({error.msg} at column {error.colno}); write one object a line."
        ) from None
    except RecursionError:
        raise TaskError(
            f"{where}: is nested too deep; write one flat object a line."
        ) from None
    except ValueError as error:  # a number of more digits than Python converts
        reason = str(error).partition(";")[0]
        raise TaskError(f"{where}: {reason}; write it as text.") from None
    if not isinstance(said, dict):
        raise TaskError(
            f"{where}: is {type(said).__name__}, not an object with the fields image and answer."
        )
    return said


def _once(pairs: Sequence[tuple[str, Any]], where: str) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise TaskError(f"{where}: has the field {shown(repeated)} more than once.")
    return said


def check_names(said: dict[str, Any], where: str) -> None:
    """Raise TaskError where a name looks like a field of ours that was mistyped."""
    for name in islice(said, NAMES):
        near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.8)
        if near and name not in FIELDS:
            raise TaskError(
                f"{where}: unknown field {shown(name)}; did you mean {near[0]!r}?"
            )
