"""CIFAR-10 and CIFAR-100 as their authors publish them for Python: ``cifar-10-batches-py`` and
``cifar-100-python``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matboard.errors import TaskError, shown
from matboard.tasks.readers.pickled import pickled_fields
from matboard.tasks.records import Record, Records, Split

SIDE = 32
"""Pixels; a picture is a row of 3 × 32 × 32 bytes, channel by channel."""


def cifar10_records(root: Path) -> Records:
    """``data_batch_1`` to ``data_batch_5`` and ``test_batch``. Raises TaskError."""
    names = _names(root / "batches.meta", "label_names")
    batches: list[tuple[str, Split]] = [("test_batch", "test")]
    batches += [(f"data_batch_{n}", "train") for n in range(1, 6)]
    return _records(root, batches, "labels", names)


def cifar100_records(root: Path) -> Records:
    """``train`` and ``test``, with their fine labels. Raises TaskError."""
    names = _names(root / "meta", "fine_label_names")
    return _records(root, [("train", "train"), ("test", "test")], "fine_labels", names)


def _names(path: Path, field: str) -> list[str]:
    names = _fields(path).get(field)
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise TaskError(f"{path} has no {field}, the names of the classes.")
    return names


def _fields(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TaskError(
            f"{path.parent} has no {path.name}, which its authors' archive has; unpack it again."
        )
    return pickled_fields(path)


def _records(
    root: Path,
    batches: Sequence[tuple[str, Split]],
    field: str,
    names: Sequence[str],
) -> Records:
    found: list[Record] = []
    for batch, split in batches:
        found += _batch(root / batch, split, field, names)
    return Records(found)


def _batch(
    path: Path, split: Split, field: str, names: Sequence[str]
) -> Iterator[Record]:
    fields = _fields(path)
    pictures, labels = fields.get("data"), fields.get(field)
    if not isinstance(pictures, np.ndarray) or not isinstance(labels, list):
        raise TaskError(f"{path} has no data and {field}.")
    if pictures.shape != (len(labels), 3 * SIDE * SIDE):
        raise TaskError(
            f"{path} has data of the shape {pictures.shape} for {len(labels)} labels; expected"
            f" {(len(labels), 3 * SIDE * SIDE)}."
        )
    for number, label in enumerate(labels):
        where = f"{path.name}, picture {number}"
        if not isinstance(label, int) or not 0 <= label < len(names):
            raise TaskError(
                f"{where}: label {shown(label)} names none of the {len(names)} classes."
            )
        yield Record(
            where=where,
            id=f"{split}/{path.name}#{number}",
            picture=f"{path.name}#{number}",
            load=partial(_picture, pictures, number),
            answer=names[label],
            split=split,
            file=path,
        )


def _picture(pictures: NDArray[np.uint8], number: int) -> Image.Image:
    planes = pictures[number].reshape(3, SIDE, SIDE)
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
