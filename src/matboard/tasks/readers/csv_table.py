"""CSV tables: a heading with the fields of JSONL, one sample a line, its picture in a file of its
own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matboard.disk import regular_size
from matboard.errors import TaskError
from matboard.images import decode
from matboard.tasks.readers.jsonl import check_names
from matboard.tasks.records import Record, Records, record_of, text_of

LISTS = ("answers", "candidates")
"""Fields that hold several texts, between bars: ``yes|no``."""


def csv_records(path: Path) -> Records:
    """One sample a line: ``image`` (path, relative to the table) and ``answer`` or ``answers``;
    optional question, candidates, caption, id, split. Empty cells say nothing. Raises TaskError.
    """
    regular_size(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            return Records(list(_rows(path, csv.DictReader(file, strict=True))))
        except (csv.Error, UnicodeDecodeError) as error:
            raise TaskError(f"{path} cannot be read as CSV: {error}.") from None


def _rows(path: Path, table: csv.DictReader[str]) -> Iterator[Record]:
    heading = table.fieldnames or ()
    if repeated := {name for name in heading if list(heading).count(name) > 1}:
        raise TaskError(f"{path} has the column {min(repeated)!r} more than once.")
    if "image" not in heading:
        raise TaskError(
            f"{path} has no column image in its first line; found:"
            f" {', '.join(heading) or 'nothing'}."
        )
    check_names(dict.fromkeys(heading), f"{path.name}, line 1")
    for row in table:
        where = f"{path.name}, line {table.line_num}"
        if None in row or None in row.values():
            raise TaskError(
                f"{where}: has more or fewer cells than the first line; put texts with commas in"
                ' double quotes ("a, b").'
            )
        said: dict[str, Any] = {
            name: text for name, text in row.items() if text.strip()
        }
        for name in LISTS:
            if name in said:
                said[name] = [part.strip() for part in said[name].split("|")]
        image = text_of(said, "image", where)
        file = path.parent / image
        default_id = f"{image}#{table.line_num}"
        record = record_of(said, where, image, partial(decode, file), default_id)
        yield replace(record, file=file)
