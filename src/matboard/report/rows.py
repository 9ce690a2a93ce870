"""Tables as rows for other programs: column → value, nothing rounded; as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Row: TypeAlias = Mapping[str, object]


def rows_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """One line a row under the names of its columns; several values stand in one field, with
    spaces between them.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_field(row[column]) for column in columns])
    return out.getvalue()


def rows_json(rows: Sequence[Row]) -> str:
    """An array with one object a row."""
    return json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n"


def _field(value: object) -> object:
    if isinstance(value, dict):
        return " ".join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(one) for one in value)
    return value
