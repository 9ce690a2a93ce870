"""Pictures in class folders."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from matboard.errors import TaskError
from matboard.images import SUFFIXES, decode
from matboard.tasks.records import SPLITS, Record, Records, Split
from matboard.tasks.task import Skipped, is_text


def folder_records(root: Path) -> Records:
    """Pictures in class folders, or in part folders that hold class folders; ``_`` in a class name
    reads as a space.
    """
    layout, notes = _part_folders(root)
    records = Records([], notes=notes, unit="files")
    for split, folder in layout.items():
        for class_folder in _folders(folder):
            before = len(records.found)
            for file in _files(class_folder):
                if reason := _no_picture(file):
                    records.skipped.append(Skipped(_printable(file, root), reason))
                else:
                    records.found.append(_record(file, root, class_folder, split))
            if len(records.found) == before:
                raise TaskError(
                    f"Class folder {class_folder} holds no picture ({', '.join(sorted(SUFFIXES))});"
                    " fill or remove it."
                )
    return records


def _record(file: Path, root: Path, class_folder: Path, split: Split | None) -> Record:
    id = file.relative_to(root).as_posix()
    return Record(
        where=str(file),
        id=id,
        picture=id,
        load=partial(decode, file),
        answer=_class_name(class_folder),
        split=split,
        file=file,
    )


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if not file.is_dir() and not file.name.startswith("."):
            yield file


def _no_picture(file: Path) -> str | None:
    if file.suffix.lower() not in SUFFIXES:
        return "not a picture file."
    if not file.is_file():
        return "not a regular file, or a link to nothing."
    return None if is_text(file.name) else "its name is not UTF-8."


def _printable(file: Path, root: Path) -> str:
    name = file.relative_to(root).as_posix()
    return name.encode(errors="backslashreplace").decode()


def _class_name(folder: Path) -> str:
    return folder.name.replace("_", " ").strip()


def class_folders(root: Path) -> list[str]:
    """The classes that ``folder_records`` finds in part folders; none where there are no part
    folders.
    """
    names = []
    for part in _folders(root):
        if part.name.lower() in SPLITS:
            names += [_class_name(folder) for folder in _folders(part)]
    return names


def _part_folders(root: Path) -> tuple[dict[Split | None, Path], list[str]]:
    trains = _named(root, "train")
    tests = _named(root, "test")
    if not trains and not tests:
        if len(_folders(root)) < 2:
            raise TaskError(
                f"{root} is not a task: expected at least two class folders, or train/ and test/"
                " folders that hold them."
            )
        return {None: root}, []
    if not trains:
        raise TaskError(
            f"{root} holds {tests[0].name}/ but no train/; both are needed (or class folders alone,"
            " to be split)."
        )
    if not tests:
        return {None: trains[0]}, []
    notes = []
    for split, (kept, *others) in (("training", trains), ("test", tests)):
        for folder in others:
            notes.append(
                f"{folder.name}/ was left aside: {kept.name}/ is the {split} part."
            )
    return {"train": trains[0], "test": tests[0]}, notes


def _named(root: Path, split: Split) -> list[Path]:
    """Folders of a split, in the order of ``SPLITS``."""
    there = {folder.name.lower(): folder for folder in _folders(root)}
    words = [word for word, meant in SPLITS.items() if meant == split]
    return [there[word] for word in words if word in there]


def _folders(root: Path) -> list[Path]:
    """Visible folders; ``__MACOSX`` and its like are none of ours."""
    found = []
    for path in root.iterdir():
        if path.is_dir() and not path.name.startswith((".", "__")):
            found.append(path)
    return sorted(found)
