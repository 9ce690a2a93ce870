"""Tasks from folders and files, one format a file: class folders, JSONL, npz, parquet.

Each reader turns its files into records, one a sample, holding only what the files say;
``records.assemble`` fills in the rest the same way for all of them. Files come from anyone: what is
wrong with one is a TaskError, and none of them takes unbounded time or memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matboard.disk import regular_size
from matboard.errors import TaskError
from matboard.tasks.readable import readable_records, readable_task, with_note
from matboard.tasks.readers.folders import folder_records
from matboard.tasks.readers.jsonl import jsonl_records
from matboard.tasks.readers.npz import npz_records
from matboard.tasks.readers.parquet import parquet_records
from matboard.tasks.records import SPLITS, Records, Split, assemble
from matboard.tasks.task import Task, check_limits

PACKED = (".npz", ".parquet")


def read(path: Path, *, train: int | None = None, test: int | None = None, seed: int = 0) -> Task:
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
        task = readable_task(assemble(_name(path), records, seed=seed), train, test, seed)
    else:
        task = assemble(_name(path), readable_records(records), seed=seed)
    return with_note(task, records.unit).limited(train, test, seed)


def _records(path: Path) -> Records:
    if path.is_dir():
        packed = [p for p in path.iterdir() if p.suffix in PACKED and _first_word(p) in SPLITS]
        if not packed:
            return folder_records(path)
        first = min(packed)
        alike = sorted(p for p in packed if p.suffix == first.suffix)
        return _packed(first.suffix, by_split(alike))
    regular_size(path)
    if path.suffix == ".jsonl":
        return jsonl_records(path)
    if path.suffix in PACKED:
        return _packed(path.suffix, {None: [path]})
    raise TaskError(
        f"{path} is not a task: expected a folder of class folders, or a .jsonl, .npz or .parquet"
        " file."
    )


def _packed(suffix: str, files: dict[Split | None, list[Path]]) -> Records:
    return npz_records(files) if suffix == ".npz" else parquet_records(files)


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _first_word(path: Path) -> str:
    return re.split(r"[^a-z]", path.stem.lower())[0]


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
    words = re.split(r"[^a-z]+", f"{path.stem}/{path.parent.name}".lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)
