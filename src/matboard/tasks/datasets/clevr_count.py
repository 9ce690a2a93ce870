"""CLEVR (Johnson et al., arXiv 1612.06890), counting: how many objects are in a scene, three to
ten. Its validation part is the test part here; the authors publish no scenes for theirs.

Question and candidates are those of the TVP authors' code; the caption is ours, they show none.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from matboard.errors import TaskError
from matboard.images import decode
from matboard.tasks.datasets.sources import (
    Facts,
    HubTable,
    Layout,
    built,
    checked_folder,
    from_hub,
)
from matboard.tasks.readers.json_array import json_items
from matboard.tasks.readers.parquet import Columns
from matboard.tasks.records import Record, Records, Split, text_of
from matboard.tasks.request import Request
from matboard.tasks.task import Skipped, Task

QUESTION = "How many objects are there in this image? Answer with a single number."
COUNTS = tuple(map(str, range(3, 11)))
CAPTION = "this is a photo of {name} objects"

PARTS: dict[Split, str] = {"train": "train", "test": "val"}
HUB = HubTable(
    "clip-benchmark/wds_vtab-clevr_count_all",
    columns=Columns("webp", "cls", COUNTS),
)


def build(request: Request) -> Task:
    """``CLEVR_v1.0`` with its scenes and images, or the Hub's. Raises TaskError."""
    data = checked_folder(request.data_dir)
    root = LAYOUT.find(data, request.name) if data is not None else None
    if root is None:
        records = from_hub(request.name, HUB, data, "CLEVR_v1.0/")
    else:
        records = LAYOUT.read(root)
    strange = {record.answer for record in records.found} - set(COUNTS)
    counts = (*COUNTS, *strange)
    worded = [
        replace(
            record,
            question=QUESTION,
            candidates=tuple(sorted(counts, key=int)),
            caption=CAPTION.format(name=record.answer),
        )
        for record in records.found
    ]
    return built(request, replace(records, found=worded), FACTS)


def _scenes(root: Path) -> Records:
    records = Records([], unit="files")
    for split, part in PARTS.items():
        path = root / "scenes" / f"CLEVR_{part}_scenes.json"
        if not path.is_file():
            raise TaskError(
                f"{root} has no scenes/{path.name}, which its authors' archive has; unpack it"
                " again."
            )
        for number, scene in enumerate(json_items(path, "scenes")):
            where = f"{path.name}, scene {number}"
            name = text_of(scene, "image_filename", where)
            objects = scene.get("objects")
            if not isinstance(objects, list):
                raise TaskError(f"{where}: has no list of objects.")
            file = root / "images" / part / name
            id = f"{split}/{name}"
            if not file.is_file():
                records.skipped.append(Skipped(id, f"there is no file {file}."))
                continue
            load = partial(decode, file)
            records.found.append(
                Record(where, id, id, load, str(len(objects)), split, file=file)
            )
    return records


LAYOUT = Layout(("CLEVR_v1.0",), "scenes/CLEVR_val_scenes.json", _scenes)
FACTS = Facts(sizes=(70_000, 15_000))
