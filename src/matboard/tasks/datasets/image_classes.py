"""What the classification data sets share: pictures in named classes, from local files or the
Hugging Face Hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from matboard.errors import HubError, TaskError
from matboard.hub import fetch
from matboard.tasks.readers import by_split
from matboard.tasks.readers.folders import class_folders, folder_records
from matboard.tasks.readers.npz import npz_records
from matboard.tasks.readers.parquet import Columns, parquet_records
from matboard.tasks.records import CAPTION, QUESTION, Record, Records, assemble
from matboard.tasks.request import Request
from matboard.tasks.task import Task


@dataclass(frozen=True)
class HubTable:
    """A data set on the Hub, read from the parquet files that the Hub makes of every data set
    (branch ``refs/convert/parquet``).

    Attributes:
        repo, config: where; the files are ``config/split/*.parquet``.
        splits: the training and the test split.
        image, label: columns.
    """

    repo: str
    config: str
    splits: tuple[str, str] = ("train", "test")
    image: str = "image"
    label: str = "label"

    def download(self) -> tuple[list[Path], str]:
        """The files in the Hub's cache, and, where there are none, why."""
        patterns = [f"{self.config}/{split}/*.parquet" for split in self.splits]
        try:
            folder = fetch(
                self.repo, patterns, kind="dataset", revision="refs/convert/parquet"
            )
        except HubError as error:
            return [], str(error)
        found = {pattern: sorted(folder.glob(pattern)) for pattern in patterns}
        if missing := [pattern for pattern, paths in found.items() if not paths]:
            return [], f"it holds no {missing[0]}"
        return [path for paths in found.values() for path in paths], ""


@dataclass(frozen=True)
class ImageClasses:
    """A classification data set.

    Attributes:
        name: in the registry, and how its local files' names begin.
        classes: the class names as a person says them, in the order of the labels; the candidates.
        hub: where it is on the Hub.
        folders: class folder → class name, where the folder is not the name itself.
        question, caption: the wording; ``{name}`` in the caption is the class name.
        metric, mirror: see Task.
    """

    name: str
    classes: tuple[str, ...]
    hub: HubTable
    folders: Mapping[str, str] = field(default_factory=dict)
    question: str = QUESTION
    caption: str = CAPTION
    metric: str = "accuracy"
    mirror: bool = True

    def __call__(self, request: Request) -> Task:
        """The task, from the data folder where the files are there, from the Hub otherwise.

        The folder holds packed files (``NAME_train.npz`` and ``NAME_test.npz`` or ``_val``;
        several a part are joined), or part folders of class folders, in a folder ``NAME`` or by
        themselves. Raises TaskError where the pictures are neither here nor there.
        """
        folder = request.data_dir
        records = self._local(folder) if folder is not None else None
        records = records or self._from_hub(folder)
        worded = [self._worded(record) for record in records.found]
        task = assemble(self.name, replace(records, found=worded))
        return replace(task, metric=self.metric, mirror=self.mirror)

    def _worded(self, record: Record) -> Record:
        answer = self.folders.get(record.answer, record.answer)
        return replace(
            record,
            answer=answer,
            candidates=self.classes,
            question=self.question,
            caption=self.caption.format(name=answer),
        )

    def _local(self, folder: Path) -> Records | None:
        if not folder.is_dir():
            raise TaskError(
                f"The data folder {folder} does not exist; create it, or leave it out to use the"
                " Hub."
            )
        packed = by_split(sorted(folder.glob(f"{self.name}_*.npz")))
        if {"train", "test"} <= set(packed):
            return npz_records(packed)
        known = {*self.classes, *self.folders}
        for root in (folder / self.name, folder):
            there = set(class_folders(root)) if root.is_dir() else set()
            if there and there <= known:
                return folder_records(root)
        return None

    def _from_hub(self, folder: Path | None) -> Records:
        paths, reason = self.hub.download()
        if paths:
            columns = Columns(self.hub.image, self.hub.label, self.classes)
            return parquet_records(by_split(paths), columns)
        elsewhere = (
            "no data folder was given"
            if folder is None
            else f"they are not in {folder}"
        )
        raise TaskError(
            f"The pictures of task {self.name!r} could not be had from the Hub as"
            f" {self.hub.repo} ({reason}), and {elsewhere}. Pass data_dir, or set"
            f" MATBOARD_DATA, to a folder with {self.name}_train.npz and {self.name}_test.npz,"
            f" or with {self.name}/train/ and {self.name}/test/."
        )
