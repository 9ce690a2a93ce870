"""Parquet tables with a column of pictures, as Hugging Face ``datasets`` writes them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from matboard.disk import regular_size
from matboard.errors import ImageError, MatboardError, TaskError, first_line, shown
from matboard.extras import needed
from matboard.images import decode
from matboard.tasks.records import FIELDS, Record, Records, Split, record_of

MOST_BYTES = 2**28
MOST_TIMES = 20
"""What a table may take unpacked: `MOST_BYTES`, or so many times the file's size where that is
more. Encoded pictures hardly pack.
"""
PICTURE = "picture"
"""What a row's picture is called here, beside the fields of JSONL."""
MOST_ROWS = 10_000_000
"""A row takes some hundred bytes here; ImageNet-21k has 14 million, in many files."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what.

    Attributes:
        image: the picture; by default ``image`` or ``img``.
        label: class numbers or names, read where there is no answer.
        classes: names of the class numbers, where ``datasets`` stores none with the table.
        fields: our names of fields → the columns that hold them, where those are called otherwise.
        picture: the column whose rows are equal where they ask about the same picture.
    """

    image: str | None = None
    label: str = "label"
    classes: Sequence[str] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    picture: str | None = None


def parquet_records(
    files: Mapping[Split | None, Sequence[Path]], columns: Columns | None = None
) -> Records:
    """Parquet tables with a column of pictures (bytes, ``{bytes, path}``, or paths relative to the
    file) and the fields of JSONL.
    """
    found: list[Record] = []
    for split, paths in files.items():
        stems = Counter(path.stem for path in paths)
        for path in paths:
            alone = stems[path.stem] == 1
            name = path.stem if alone else f"{path.parent.name}/{path.stem}"
            found += _rows(path, name, split, columns or Columns())
    return Records(found)


def _rows(
    path: Path, name: str, split: Split | None, columns: Columns
) -> Iterator[Record]:
    try:
        table = _table(path)
        image = _image_column(path, table, columns)
        said = _said(table, image, columns)
        names = _stored_class_names(table, columns.label) or list(columns.classes or ())
        files = _files(table.column(image), path)
    except MatboardError:
        raise
    except (
        Exception
    ) as error:  # what pyarrow raises on a damaged table is no closed list
        raise TaskError(
            f"{path} cannot be read as parquet: {first_line(error)}."
        ) from error
    for number, fields in enumerate(said):
        where = f"{path.name}, row {number}"
        id = f"{name}#{number}"
        if split:
            id = f"{split}/{id}"
        if fields.get("answer") is None and fields.get("answers") is None:
            fields["answer"] = _class_name(fields.get(columns.label), names, where)
            fields["candidates"] = fields.get("candidates") or names or None
        load = partial(_decode, table.column(image), number, path)
        record = record_of(fields, where, id, load, id, split)
        picture = fields.get(PICTURE)
        yield replace(
            record,
            file=files[number],
            picture=id if picture is None else f"{path.parent}/{picture}",
        )


def _table(path: Path) -> Any:
    with needed():
        import pyarrow.parquet
    file_size = regular_size(path)
    source = pyarrow.parquet.ParquetFile(path)
    facts = source.metadata
    size = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
    most = max(MOST_BYTES, MOST_TIMES * file_size)
    if size > most or facts.num_rows > MOST_ROWS:
        raise TaskError(
            f"{path} would have {facts.num_rows} rows and {size} bytes unpacked; at most"
            f" {MOST_ROWS} rows and {most} bytes are expected. Write it in several files."
        )
    return source.read()


def _image_column(path: Path, table: Any, columns: Columns) -> str:
    names: list[str] = table.column_names
    found = [name for name in (columns.image, "image", "img") if name in names]
    if not found:
        raise TaskError(
            f"{path} has no picture column: expected {columns.image or 'image or img'}, found"
            f" {', '.join(names[:20])}."
        )
    image = str(found[0])
    for name in (image, columns.label, *FIELDS, *columns.fields.values()):
        if names.count(name) > 1:
            raise TaskError(f"{path} has the column {name!r} more than once.")
    return image


def _said(table: Any, image: str, columns: Columns) -> list[dict[str, Any]]:
    there = set(table.column_names) - {image}
    columns_of = {name: columns.fields.get(name, name) for name in FIELDS}
    columns_of[columns.label] = columns.label
    if columns.picture is not None:
        columns_of[PICTURE] = columns.picture
    known = {name: column for name, column in columns_of.items() if column in there}
    rows: list[dict[str, Any]] = table.select(sorted(set(known.values()))).to_pylist()
    return [
        {name: row[column] for name, column in known.items()}
        for row in rows or [{} for _ in range(table.num_rows)]
    ]


def _files(column: Any, table: Path) -> list[Path]:
    """Where each picture lies: in the table, or in a file of its own that the table names."""
    import pyarrow
    import pyarrow.compute

    names = column
    kind = column.type
    if pyarrow.types.is_struct(kind):
        if kind.get_field_index("bytes") < 0 or kind.get_field_index("path") < 0:
            return [table] * len(column)
        alone = pyarrow.compute.struct_field(column, "bytes").is_null()
        paths = pyarrow.compute.struct_field(column, "path")
        names = pyarrow.compute.if_else(alone, paths, None)
    elif not pyarrow.types.is_string(kind):
        return [table] * len(column)
    return [
        table if name is None else table.parent / name for name in names.to_pylist()
    ]


def _stored_class_names(table: Any, label: str) -> list[str]:
    """Those that ``datasets`` stores in the table's metadata; none where it did not."""
    try:
        stored = json.loads(table.schema.metadata[b"huggingface"])
        names = stored["info"]["features"][label]["names"]
        return [name.replace("_", " ") for name in names]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _class_name(label: Any, names: Sequence[str], where: str) -> str:
    if isinstance(label, str):
        return label.replace("_", " ").strip()
    if label is None:
        raise TaskError(f"{where}: has neither an answer nor a label.")
    if isinstance(label, bool) or not isinstance(label, int):
        raise TaskError(
            f"{where}: label must be a class's number or name, but is {shown(label)}."
        )
    if not 0 <= label < len(names):
        raise TaskError(
            f"{where}: label {label} has no name ({len(names)} class names are known); write an"
            " answer column instead."
        )
    return names[label]


def _decode(column: Any, number: int, path: Path) -> Image:
    name = f"Row {number} of {path}"
    try:
        value = column[number].as_py()
    except (
        Exception
    ) as error:  # such as text that is not UTF-8, or a date outside of Python's
        raise ImageError(f"{name} cannot be read: {first_line(error)}.") from error
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return decode(value, name=name)
    if isinstance(value, str):
        return decode(path.parent / value)
    raise ImageError(
        f"{name} has {shown(value)} for a picture; expected bytes or a file's name."
    )
