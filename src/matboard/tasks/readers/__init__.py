"""Tasks from folders and files, one format a file: class folders, JSONL, CSV, chat, npz, parquet.

Each reader turns its files into records, one a sample, holding only what the files say;
``records.assemble`` fills in the rest the same way for all of them. Files come from anyone: what is
wrong with one is a TaskError, and none of them takes unbounded time or memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from matboard.disk import regular_size
from matboard.errors import TaskError
from matboard.tasks.completeness import missing_classes
from matboard.tasks.readable import readable_records, readable_task, with_note
from matboard.tasks.readers.chat import chat_records
from matboard.tasks.readers.csv_table import csv_records
from matboard.tasks.readers.folders import folder_records
from matboard.tasks.readers.jsonl import jsonl_records
from matboard.tasks.readers.npz import npz_records
from matboard.tasks.readers.parquet import parquet_records
from matboard.tasks.records import SPLITS, Records, Split, assemble
from matboard.tasks.task import Task, check_limits

Files: TypeAlias = Mapping[Split | None, Sequence[Path]]
"""Split → its files; None for files of no stated split."""

PACKED: dict[str, Callable[[Files], Records]] = {
    ".npz": npz_records,
    ".parquet": parquet_records,
}
"""Readers of files that hold many pictures."""
TOLD: dict[str, Callable[[Path], Records]] = {
    ".csv": csv_records,
    ".json": chat_records,
    ".jsonl": jsonl_records,
}
"""Readers of files that tell of pictures beside them."""


def read(
    path: Path, *, train: int | None = None, test: int | None = None, seed: int = 0
) -> Task:
    """The task in a folder or file, whatever its format, without pictures that cannot be decoded.

    A folder holds class folders; or ``train/`` and ``test/`` (``val/``, ``valid/``) with class
    folders; or npz or parquet files whose names begin with ``train`` and ``test``. A set without a
    test part is split, ``seed`` deciding how; then each of its pictures is decoded once before.

    Args:
        train, test: at most so many samples of each part.

    Raises:
        TaskError: it is no task, or nothing of a part can be read.
    """
    check_limits(_name(path), train, test)
    try:
        records = _records(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TaskError(f"{error.filename or path} cannot be read: {reason}.") from None
    if records.is_split:
        whole = _said_whole(assemble(_name(path), records, seed=seed))
        task = readable_task(whole, train, test, seed)
    else:
        task = _said_whole(assemble(_name(path), readable_records(records), seed=seed))
    return with_note(task, records.unit).limited(train, test, seed)


def _said_whole(task: Task) -> Task:
    """The task with sentences on the classes that it lacks."""
    return replace(task, notes=(*task.notes, *missing_classes(task)))


def _records(path: Path) -> Records:
    if path.is_dir():
        packed = sorted(filter(_is_packed_part, path.iterdir()))
        if not packed:
            return folder_records(path)
        suffix = packed[0].suffix
        alike = [file for file in packed if file.suffix == suffix]
        return PACKED[suffix](by_split(alike))
    regular_size(path)
    if path.suffix in TOLD:
        return TOLD[path.suffix](path)
    if path.suffix in PACKED:
        return PACKED[path.suffix]({None: [path]})
    raise TaskError(
        f"{path} is not a task: expected a folder of class folders, or a .jsonl, .csv, .json"
        " (LLaVA's conversations), .npz, .parquet or .yaml file."
    )


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _is_packed_part(path: Path) -> bool:
    first_word = re.split(r"[^a-z]", path.stem.lower())[0]
    return path.suffix in PACKED and first_word in SPLITS


def by_split(paths: Sequence[Path]) -> dict[Split | None, list[Path]]:
    """Files sorted by the words of their name or folder (``cifar10_train.npz``,
    ``train/0000.parquet``). Raises TaskError.
    """
    splits: dict[Split | None, list[Path]] = {}
    for path in paths:
        splits.setdefault(_split_of(path), []).append(path)
    if None in splits and len(splits) > 1:
        raise TaskError(
            f"{splits[None][0]} belongs to no part; name every packed file after train or test, or"
            " none."
        )
    return splits


def _split_of(path: Path) -> Split | None:
    place = f"{path.stem}/{path.parent.name}".lower()
    for word in re.split(r"[^a-z]+", place):
        if word in SPLITS:
            return SPLITS[word]
    return None
