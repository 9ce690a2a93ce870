"""POPE (Li et al., arXiv 2305.10355): is an object in a picture of COCO? Half of the questions name
one that is not there, drawn at random, among the most frequent (``popular``), or among those that
often stand beside what is there (``adversarial``). Judged by F1, with accuracy and yes-rate beside.

The authors publish questions to be judged by only. To learn from there are, where they lie beside
them, those that the TVP authors made of COCO's training pictures in the same way
(``coco_train_pope_KIND.json``, 12,000 questions); otherwise the second half of the pictures, so
that what is judged on is the first half, as in the TVP authors' code.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matboard.errors import TaskError, shown
from matboard.images import decode
from matboard.tasks.datasets.sources import (
    Facts,
    HubTable,
    built,
    checked_folder,
    from_hub,
)
from matboard.tasks.readers.jsonl import json_objects
from matboard.tasks.readers.parquet import Columns
from matboard.tasks.records import Record, Records, Split, text_of
from matboard.tasks.request import Request
from matboard.tasks.task import Skipped, Task

DEFAULT = "adversarial"
"""The kind on which the TVP authors' code judges."""
CANDIDATES = ("no", "yes")
QUESTIONS = 3_000
"""Of each kind: six about each of 500 pictures."""
_OBJECT = re.compile(r"Is there an? (.+?) in the ima\w+\?", re.IGNORECASE)
_QUESTION_FILES: dict[Split | None, tuple[str, ...]] = {
    "train": ("coco_train_pope_{kind}.json", "train/coco_train_pope_{kind}.json"),
    None: (
        "coco_pope_{kind}.json",
        "output/coco/coco_pope_{kind}.json",
        "coco_val_pope_{kind}.json",
        "val/coco_val_pope_{kind}.json",
    ),
}
"""Part → where its questions may lie: in POPE's own repository, and in the TVP authors'."""
_PICTURE_FOLDERS = ("val2014", "train2014", "images", "")


def build(request: Request) -> Task:
    """Questions and pictures of ``pope/KIND``. Raises TaskError."""
    kind = request.name.partition("/")[2] or DEFAULT
    data = checked_folder(request.data_dir)
    records = _local(data, kind) if data is not None else None
    if records is None:
        expected = f"pope/coco_pope_{kind}.json, and COCO's pictures in pope/val2014/"
        records = from_hub(request.name, _hub(kind), data, expected)
    facts = Facts("f1", also=("accuracy", "yes-rate"))
    return built(request, _parted(_captioned(records), request.name), facts)


def _hub(kind: str) -> HubTable:
    """lmms-lab's copy: questions and pictures in one table."""
    columns = Columns(picture="image_source")
    return HubTable("lmms-lab/POPE", "Full", (), (), (kind,), columns)


def _local(data: Path, kind: str) -> Records | None:
    for root in (data / "pope", data / "POPE", data):
        files = {part: _file(root, part, kind) for part in _QUESTION_FILES}
        if files[None] is not None:
            break
    else:
        return None
    folders = [
        base / name
        for base in (root, data, data / "coco2014", data / "coco")
        for name in _PICTURE_FOLDERS
    ]
    records = Records([], unit="samples")
    for part, path in files.items():
        if path is not None:
            _add(records, path, part, folders)
    if not records.found:
        raise TaskError(
            f"None of the pictures that {files[None]} asks about was found: expected COCO's val2014"
            f" in {root / 'val2014'}."
        )
    return records


def _file(root: Path, part: Split | None, kind: str) -> Path | None:
    places = [root / name.format(kind=kind) for name in _QUESTION_FILES[part]]
    return next((place for place in places if place.is_file()), None)


def _add(
    records: Records, path: Path, part: Split | None, folders: Sequence[Path]
) -> None:
    found: dict[str, Path | None] = {}
    for number, (where, said) in enumerate(json_objects(path), start=1):
        name = text_of(said, "image", where)
        if name not in found:
            files = [folder / name for folder in folders]
            found[name] = next((file for file in files if file.is_file()), None)
        file = found[name]
        id = f"{part or 'pope'}/{name}#{number}"
        if file is None:
            records.skipped.append(Skipped(id, f"there is no picture {name}."))
            continue
        records.found.append(
            Record(
                where=where,
                id=id,
                picture=name,
                load=partial(decode, file),
                answer=_answer(said, where),
                split=part,
                question=text_of(said, "text", where),
                caption=_objects(said.get("objects")),
                file=file,
            )
        )


def _answer(said: Mapping[str, Any], where: str) -> str:
    answer = text_of(said, "label", where).lower()
    if answer not in CANDIDATES:
        raise TaskError(f"{where}: label must be yes or no, but is {shown(answer)}.")
    return answer


def _objects(named: Any) -> str | None:
    """The TVP authors' training questions name what is in the picture."""
    if not isinstance(named, list) or not named:
        return None
    return ", ".join(map(str, named))


def _captioned(records: Records) -> Records:
    """Captions of what the questions about a picture say is there. Ours: the TVP authors' code
    shows none for POPE, but hands on the names of the objects.
    """
    present: dict[str, list[str]] = defaultdict(list)
    for record in records.found:
        asked = _OBJECT.fullmatch((record.question or "").strip())
        if asked and record.answer == "yes":
            present[record.picture].append(asked[1])
    captioned = []
    for record in records.found:
        objects = record.caption or ", ".join(present[record.picture])
        captioned.append(
            replace(
                record,
                answer=record.answer.lower(),
                candidates=CANDIDATES,
                caption=f"this is a photo of {objects}"
                if objects
                else "this is a photo",
            )
        )
    return replace(records, found=captioned)


def _parted(records: Records, name: str) -> Records:
    """Questions of no stated part: all to be judged by where there are others to learn from, else
    those about the first half of the pictures.
    """
    bare = [record for record in records.found if record.split is None]
    pictures = list(dict.fromkeys(record.picture for record in bare))
    judged = set(pictures)
    notes = []
    if len(bare) == len(records.found):
        judged = set(pictures[: (len(pictures) + 1) // 2])
        notes.append(
            f"POPE has no training part: judged are the questions about the first {len(judged)} of"
            f" {len(pictures)} pictures, learned from are those about the others."
        )
    if len(bare) != QUESTIONS:
        notes.append(
            f"{name} has {len(bare)} questions, the published set has {QUESTIONS} of each kind:"
            " figures do not compare with those on the whole set."
        )
    found: list[Record] = []
    for record in records.found:
        split: Split = "test" if record.picture in judged else "train"
        found.append(record if record.split else replace(record, split=split))
    return replace(records, found=found, notes=[*records.notes, *notes])
