"""Tasks from folders and files: class folders, JSONL, and (in ``packed``) npz and parquet.

Each reader turns its files into rows, one a sample, holding only what the files say;
``rows.assemble`` fills in the rest the same way for all of them. Pictures are decoded when a sample
is loaded.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matboard.errors import TaskError
from matboard.images import SUFFIXES, decode
from matboard.tasks.packed import PACKED, by_part
from matboard.tasks.rows import FIELDS, PARTS, Part, Reading, Row, assemble, row_of, text_of
from matboard.tasks.task import Skipped, Task


def read(path: Path, *, seed: int = 0) -> Task:
    """The task in a folder or file, whatever its format. Raises TaskError.

    A folder holds class folders; or ``train/`` and ``test/`` (``val/``, ``valid/``) with class
    folders; or npz or parquet files whose names begin with ``train`` and ``test``. A set without a
    test part is split, ``seed`` deciding how.
    """
    if path.is_dir():
        packed = sorted(p for p in path.iterdir() if p.suffix in PACKED and _first_word(p) in PARTS)
        suffix = packed[0].suffix if packed else ""
        reading = (
            PACKED[suffix](by_part([p for p in packed if p.suffix == suffix]))
            if packed
            else folder_rows(path)
        )
        return assemble(path.name, reading, seed=seed)
    if path.suffix == ".jsonl":
        return assemble(path.stem, jsonl_rows(path), seed=seed)
    if path.suffix in PACKED:
        return assemble(path.stem, PACKED[path.suffix]({None: [path]}), seed=seed)
    raise TaskError(
        f"{path} is not a task: expected a folder of class folders, or a .jsonl, .npz or .parquet"
        " file."
    )


def _first_word(path: Path) -> str:
    return re.split(r"[^a-z]", path.stem.lower())[0]


# Class folders
# -------------------------------------------------------------------------------------------------------


def folder_rows(root: Path) -> Reading:
    """Pictures in class folders, or in part folders that hold class folders; ``_`` in a class name
    reads as a space.
    """
    layout, notes = _part_folders(root)
    rows, skipped = [], []
    for part, folder in layout.items():
        for class_folder in _folders(folder):
            files = sorted(
                p for p in class_folder.rglob("*") if p.is_file() and not p.name.startswith(".")
            )
            pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
            if not pictures:
                raise TaskError(
                    f"Class folder {class_folder} holds no picture ({', '.join(sorted(SUFFIXES))});"
                    " fill or remove it."
                )
            rows += [
                Row(
                    str(p),
                    _id(p, root),
                    _id(p, root),
                    partial(decode, p),
                    _class_name(class_folder),
                    part,
                    file=p,
                )
                for p in pictures
            ]
            skipped += [
                Skipped(_id(p, root), "not a picture file.")
                for p in files
                if p.suffix.lower() not in SUFFIXES
            ]
    return Reading(rows, skipped, notes)


def _id(picture: Path, root: Path) -> str:
    return picture.relative_to(root).as_posix()


def _class_name(folder: Path) -> str:
    return folder.name.replace("_", " ").strip()


def class_folders(root: Path) -> list[str]:
    """The classes that ``folder_rows`` finds in part folders; none where there are no part folders."""
    return [
        _class_name(f)
        for part in _folders(root)
        if part.name.lower() in PARTS
        for f in _folders(part)
    ]


def _part_folders(root: Path) -> tuple[dict[Part | None, Path], list[str]]:
    found = {f.name.lower(): f for f in _folders(root) if f.name.lower() in PARTS}
    if not found:
        if len(_folders(root)) < 2:
            raise TaskError(
                f"{root} is not a task: expected at least two class folders, or train/ and test/"
                " folders that hold them."
            )
        return {None: root}, []
    train, tests = (
        found.get("train", found.get("training")),
        [found[n] for n in PARTS if n in found and PARTS[n] == "test"],
    )
    if train is None:
        raise TaskError(
            f"{root} holds {tests[0].name}/ but no train/; both are needed (or class folders alone,"
            " to be split)."
        )
    if not tests:
        return {None: train}, []
    notes = [
        f"{folder.name}/ was left aside: {tests[0].name}/ is the test part." for folder in tests[1:]
    ]
    return {"train": train, "test": tests[0]}, notes


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


# JSONL
# ---------------------------------------------------------------------------------------------------------------


def jsonl_rows(path: Path) -> Reading:
    """One JSON object a line: ``image`` (path, relative to the file) and ``answer``; optional
    question, candidates, caption, id, split.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 text: {error}.") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            said = _object(line, where)
            image = text_of(said, "image", where)
            file = path.parent / image
            rows.append(
                replace(
                    row_of(
                        said, where, image, partial(decode, file), default_id=f"{image}#{number}"
                    ),
                    file=file,
                )
            )
    return Reading(rows)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{where}: is not JSON ({error.msg} at column {error.colno}); write one object a line."
        ) from None
    if not isinstance(said, dict):
        raise TaskError(
            f"{where}: is {type(said).__name__}, not an object with the fields image and answer."
        )
    for key in set(said) - set(FIELDS):
        if near := difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.8):
            raise TaskError(f"{where}: unknown field {key!r}; did you mean {near[0]!r}?")
    return said
