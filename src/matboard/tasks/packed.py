"""Packed picture sets: npz (ours) and parquet (Hugging Face's)."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from matboard.errors import ImageError, InputError, TaskError
from matboard.images import decode
from matboard.tasks.rows import FIELDS, PARTS, Part, Reading, Row, row_of

Files = Mapping[Part | None, Sequence[Path]]
"""Part → its files; None for files of no stated part."""


def by_part(paths: Sequence[Path]) -> dict[Part | None, list[Path]]:
    """Files sorted into parts by the words of their name or folder (``cifar10_train.npz``,
    ``train/0000.parquet``). Raises TaskError.
    """
    parts: dict[Part | None, list[Path]] = {}
    for path in paths:
        words = re.split(r"[^a-z]+", f"{path.stem}/{path.parent.name}".lower())
        parts.setdefault(next((PARTS[word] for word in words if word in PARTS), None), []).append(
            path
        )
    if None in parts and len(parts) > 1:
        raise TaskError(
            f"{parts[None][0]} belongs to no part; name every packed file after train or test, or"
            " none."
        )
    return parts


def npz_rows(files: Files) -> Reading:
    """Packed picture sets.

    Arrays: ``data`` (all encoded pictures, bytes), ``offsets`` (n + 1), ``labels`` (n), ``names``
        (n), ``classes``; for questions about
    the pictures also ``question``, ``answer`` and ``question_image`` (m each), which then make the
    samples instead of the classes.
    """
    return Reading(
        [
            replace(row, file=path)
            for part, paths in files.items()
            for path in paths
            for row in _unpack(path, part)
        ]
    )


def _unpack(path: Path, part: Part | None) -> Iterator[Row]:
    pack = _arrays(path)
    data, offsets, names = pack["data"], pack["offsets"], pack["names"].tolist()
    loads = [partial(_decode_bytes, data[start:stop]) for start, stop in pairwise(offsets)]
    prefix = f"{part}/" if part else ""
    if "question" in pack:
        asked = zip(
            pack["question"].tolist(),
            pack["answer"].tolist(),
            pack["question_image"].tolist(),
            strict=True,
        )
        for k, (question, answer, i) in enumerate(asked):
            if not 0 <= i < len(names):
                raise TaskError(
                    f"{path.name}, question {k}: asks about picture {i}, but there are"
                    f" {len(names)}."
                )
            yield Row(
                f"{path.name}, question {k}",
                f"{prefix}{names[i]}#{k}",
                names[i],
                loads[i],
                answer,
                part,
                question,
            )
        return
    classes, labels = clean_class_names(pack["classes"].tolist()), pack["labels"].tolist()
    candidates = tuple(dict.fromkeys(classes))
    for i, label in enumerate(labels):
        if not 0 <= label < len(classes):
            raise TaskError(
                f"{path.name}, picture {i}: label {label} names none of the {len(classes)} classes."
            )
        yield Row(
            f"{path.name}, picture {i}",
            prefix + names[i],
            names[i],
            loads[i],
            classes[label],
            part,
            candidates=candidates,
        )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        pack = np.load(path, allow_pickle=False)
        if isinstance(pack, np.ndarray):
            raise ValueError("it is a single array")
        with pack:
            arrays = {key: pack[key] for key in pack.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise TaskError(f"{path} cannot be read as a packed picture set: {error}.") from error
    if missing := [
        key for key in ("data", "offsets", "labels", "names", "classes") if key not in arrays
    ]:
        raise TaskError(
            f"{path} is not a packed picture set: it has no array {missing[0]!r}, only"
            f" {', '.join(sorted(arrays)) or 'none'}."
        )
    if (
        len({len(arrays[key]) for key in ("question", "answer", "question_image") if key in arrays})
        > 1
    ):
        raise TaskError(
            f"{path} is a broken picture set: question, answer and question_image must be of one"
            " length."
        )
    labels, names, offsets = (len(arrays[key]) for key in ("labels", "names", "offsets"))
    if not labels == names == offsets - 1:
        raise TaskError(
            f"{path} is a broken picture set, its arrays disagree: {labels} labels, {names} names,"
            f" {offsets} offsets."
        )
    return arrays


def _decode_bytes(data: NDArray[np.uint8]) -> Image:
    return decode(data.tobytes())


def clean_class_names(names: Sequence[str]) -> list[str]:
    """ "goldfish, Carassius auratus" → "goldfish", ``_`` → space; where two would then read alike,
    both keep their synonyms.
    """
    plain = [name.replace("_", " ").strip() for name in names]
    short = [name.split(",")[0].strip() for name in plain]
    times = Counter(short)
    return [s if times[s] == 1 else p for s, p in zip(short, plain, strict=True)]


def parquet_rows(
    files: Files,
    *,
    image: str | None = None,
    label: str = "label",
    classes: Sequence[str] | None = None,
) -> Reading:
    """Parquet tables with a column of pictures (bytes, ``{bytes, path}``, or paths relative to the
    file) and the fields of JSONL.

    Args:
        image: the picture column; by default ``image`` or ``img``.
        label: the column of class numbers or names, read where there is no ``answer``.
        classes: names of the class numbers; by default those that Hugging Face ``datasets`` stores
            with the table.
    """
    found = (
        (path, row)
        for part, paths in files.items()
        for path in paths
        for row in _table(path, part, image, label, classes)
    )
    return Reading([replace(row, file=path) for path, row in found])


def _table(
    path: Path, part: Part | None, image: str | None, label: str, classes: Sequence[str] | None
) -> Iterator[Row]:
    table = _parquet(path)
    column = next((c for c in (image, "image", "img") if c in table.column_names), None)
    if column is None:
        raise TaskError(
            f"{path} has no picture column: expected {image or 'image or img'}, found"
            f" {', '.join(table.column_names)}."
        )
    stated = table.select(
        [name for name in table.column_names if name in (*FIELDS, label) and name != column]
    ).to_pylist()
    names = list(classes or _stored_class_names(table, label))
    for number, said in enumerate(stated):
        where = f"{path.name}, row {number}"
        if said.get("answer") is None:
            said |= {
                "answer": _class_name(said.get(label), names, where),
                "candidates": said.get("candidates") or names or None,
            }
        load = partial(_decode_cell, table.column(column), number, path.parent)
        id = f"{part + '/' if part else ''}{path.stem}#{number}"
        yield row_of(said, where, id, load, id, part)


def _parquet(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            f"Reading {path.name} needs pyarrow: pip install 'matboard[data]'."
        ) from None
    try:
        return pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise TaskError(f"{path} cannot be read as parquet: {error}.") from error


def _stored_class_names(table: Any, label: str) -> list[str]:
    stored = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = stored.get("info", {}).get("features", {}).get(label, {}).get("names", [])
    return [name.replace("_", " ") for name in names]


def _class_name(label: Any, names: Sequence[str], where: str) -> str:
    if isinstance(label, str):
        return label.replace("_", " ").strip()
    if not isinstance(label, int):
        raise TaskError(f"{where}: has neither an answer nor a label.")
    if not 0 <= label < len(names):
        raise TaskError(
            f"{where}: label {label} has no name ({len(names)} class names are known); write an"
            " answer column instead."
        )
    return names[label]


def _decode_cell(column: Any, number: int, folder: Path) -> Image:
    cell = column[number].as_py()
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if cell is None:
        raise ImageError(f"Row {number} has no picture.")
    return decode(cell if isinstance(cell, bytes) else folder / cell)


PACKED: dict[str, Callable[[Files], Reading]] = {".npz": npz_rows, ".parquet": parquet_rows}
