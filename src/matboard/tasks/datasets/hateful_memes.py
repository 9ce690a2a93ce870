"""Hateful Memes (Kiela et al., arXiv 2005.04790): is a picture with words on it hateful? Judged by
the area under the ROC curve, the score being log p(yes) − log p(no).

Question and answers are those of the TVP authors' code, which judges on the ``dev`` part, as here:
that is the only part besides ``train`` whose labels came with the data set. The caption is ours,
they show none.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from matboard.errors import TaskError, shown
from matboard.images import decode
from matboard.tasks.datasets.sources import (
    Facts,
    HubFolder,
    Layout,
    built,
    checked_folder,
    from_hub,
)
from matboard.tasks.readers.jsonl import json_objects
from matboard.tasks.records import Record, Records, Split, text_of
from matboard.tasks.request import Request
from matboard.tasks.task import Skipped, Task

QUESTION = 'This is an image with: "{text}" written on it. Is it hateful?'
CANDIDATES = ("no", "yes")
CAPTIONS = ("this is a harmless meme: {text}", "this is a hateful meme: {text}")
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train.jsonl",),
    "test": ("dev_seen.jsonl", "dev.jsonl"),
}
"""Part → what its file may be called; the archive of the challenge's second phase renamed it."""


def build(request: Request) -> Task:
    """``train.jsonl``, ``dev_seen.jsonl`` (or ``dev.jsonl``) and ``img/``, or the Hub's. Raises
    TaskError.
    """
    data = checked_folder(request.data_dir)
    root = LAYOUT.find(data, request.name) if data is not None else None
    if root is None:
        expected = "hateful_memes/ (train.jsonl, dev_seen.jsonl and img/)"
        return built(request, from_hub(request.name, HUB, data, expected), FACTS)
    return built(request, LAYOUT.read(root), FACTS)


def _memes(root: Path) -> Records:
    records = Records([], unit="files")
    for split, names in PARTS.items():
        path = next((root / n for n in names if (root / n).is_file()), None)
        if path is None:
            raise TaskError(
                f"{root} has no {' or '.join(names)}, which its authors' archive has; unpack it"
                " again."
            )
        for where, said in json_objects(path):
            file = root / text_of(said, "img", where)
            text = text_of(said, "text", where)
            label = said.get("label")
            if isinstance(label, bool) or label not in (0, 1):
                raise TaskError(
                    f"{where}: label must be 0 or 1, but is {shown(label)}; parts without labels"
                    " cannot be judged on."
                )
            id = f"{split}/{text_of(said, 'id', where)}"
            if not file.is_file():
                records.skipped.append(Skipped(id, f"there is no file {file}."))
                continue
            records.found.append(
                Record(
                    where=where,
                    id=id,
                    picture=id,
                    load=partial(decode, file),
                    answer=CANDIDATES[label],
                    split=split,
                    question=QUESTION.format(text=text),
                    candidates=CANDIDATES,
                    caption=CAPTIONS[label].format(text=text),
                    file=file,
                )
            )
    return records


LAYOUT = Layout(
    ("hateful_memes", "hateful-memes", "facebook-hateful-memes"), "train.jsonl", _memes
)
HUB = HubFolder(
    "neuralcatcher/hateful_memes", ("train.jsonl", "dev_seen.jsonl", "img/*"), _memes
)
# Mirrored words cannot be read.
FACTS = Facts("auc", mirror=False, sizes=(8_500, 500))
