"""What the classification data sets share: pictures in named classes, from local files or the
Hugging Face Hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from matboard.errors import TaskError, shown
from matboard.tasks.datasets.sources import (
    Facts,
    Layout,
    OnHub,
    built,
    checked_folder,
    from_hub,
)
from matboard.tasks.readers import by_split
from matboard.tasks.readers.folders import class_folders, folder_records
from matboard.tasks.readers.npz import npz_records
from matboard.tasks.records import CAPTION, QUESTION, Record, Records
from matboard.tasks.request import Request
from matboard.tasks.task import Task


@dataclass(frozen=True)
class ImageClasses:
    """A classification data set.

    Attributes:
        name: in the registry, and how its local files' names begin.
        classes: the class names as a person says them, in the order of the labels; the candidates.
        hub: where it is on the Hub.
        layout: its folder as its authors' archive unpacks.
        folders: class folder → class name, where the folder is not the name itself.
        question, caption: the wording; ``{name}`` in the caption is the class name.
        facts: metric, mirroring, published sizes.
    """

    name: str
    classes: tuple[str, ...]
    hub: OnHub
    layout: Layout
    folders: Mapping[str, str] = field(default_factory=dict)
    question: str = QUESTION
    caption: str = CAPTION
    facts: Facts = field(default_factory=Facts)

    def __call__(self, request: Request) -> Task:
        """The task, from the data folder where the files are there, from the Hub otherwise.

        The folder holds packed files (``NAME_train.npz`` and ``NAME_test.npz`` or ``_val``;
        several a part are joined); the authors' folder; or part folders of class folders, in a
        folder ``NAME`` or by themselves. Raises TaskError where the pictures are neither here nor
        there.
        """
        data = checked_folder(request.data_dir)
        records = self._local(data) if data is not None else None
        if records is None:
            records = from_hub(self.name, self.hub, data, self._expected())
        worded = [self._worded(record) for record in records.found]
        return built(request, replace(records, found=worded), self.facts)

    def _expected(self) -> str:
        return (
            f"{self.name}_train.npz and {self.name}_test.npz, or with {self.name}/train/ and"
            f" {self.name}/test/, or with {self.layout.folders[0]}/ as its authors' archive"
            " unpacks"
        )

    def _worded(self, record: Record) -> Record:
        answer = self._known.get(_plain(record.answer))
        if answer is None:
            raise TaskError(
                f"{record.where}: {shown(record.answer)} is none of the {len(self.classes)} classes"
                f" of task {self.name!r}."
            )
        return replace(
            record,
            answer=answer,
            candidates=self.classes,
            question=self.question,
            caption=self.caption.format(name=answer),
        )

    @cached_property
    def _known(self) -> dict[str, str]:
        """A class as files and tables may spell it → its name."""
        known = {_plain(name): name for name in self.classes}
        for folder, name in self.folders.items():
            known[_plain(folder)] = name
        return known

    def _local(self, data: Path) -> Records | None:
        packed = by_split(sorted(data.glob(f"{self.name}_*.npz")))
        if {"train", "test"} <= set(packed):
            return npz_records(packed)
        if root := self.layout.find(data, self.name):
            return self.layout.read(root)
        own = data / self.name
        for root in (own, data):
            there = class_folders(root) if root.is_dir() else []
            strange = [name for name in there if _plain(name) not in self._known]
            if there and not strange:
                return folder_records(root)
            if strange and root == own:
                few = ", ".join(strange[:5])
                raise TaskError(
                    f"{root} has class folders that are none of the {len(self.classes)} classes of"
                    f" task {self.name!r}: {few}. Rename or remove them."
                )
        return None


def class_names(text: str) -> tuple[str, ...]:
    """Names out of a text that sets them off by commas."""
    return tuple(text.replace("\n", " ").split(", "))


def _plain(name: str) -> str:
    """A class name without case, spaces and signs: files spell ``F/A-18`` as ``F_A-18``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
