"""Where a public data set is found: as its authors' archive unpacks, or on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from matboard.errors import HubError, TaskError
from matboard.hub import fetch
from matboard.tasks.completeness import missing_classes, size_note
from matboard.tasks.readable import readable_task, with_note
from matboard.tasks.readers.parquet import Columns, parquet_records
from matboard.tasks.records import Records, Split, assemble
from matboard.tasks.request import Request
from matboard.tasks.task import Task


@dataclass(frozen=True)
class Layout:
    """A data set's folder as its authors' archive unpacks.

    Attributes:
        folders: what the archive calls it, in the data folder or in one of the task's name.
        mark: what lies in it; where that is found, the folder may have the task's name, or be the
            data folder itself.
        read: its records.
    """

    folders: tuple[str, ...]
    mark: str
    read: Callable[[Path], Records]

    def find(self, data: Path, name: str) -> Path | None:
        """The folder, where it is there. A folder of the archive's name counts even where parts of
        it are missing: its reader says what.
        """
        for above in (data, data / name):
            for folder in self.folders:
                if (above / folder).is_dir():
                    return above / folder
        marked = [root for root in (data / name, data) if (root / self.mark).exists()]
        return marked[0] if marked else None


@dataclass(frozen=True)
class HubTable:
    """A data set on the Hub, read from the parquet files that the Hub makes of every data set
    (branch ``refs/convert/parquet``).

    Attributes:
        repo, config: where; the files are ``config/split/*.parquet``, or
            ``config/partial-split/*.parquet`` where the Hub converts only the first 5 GB.
        train, test: the splits that make each part.
        unsplit: splits whose rows belong to no part.
        columns: what the columns are called.
    """

    repo: str
    config: str = "default"
    train: tuple[str, ...] = ("train",)
    test: tuple[str, ...] = ("test",)
    unsplit: tuple[str, ...] = ()
    columns: Columns = field(default_factory=Columns)

    def records(self) -> Records:
        """Its rows. Raises HubError, TaskError."""
        return parquet_records(self.download(), self.columns)

    def download(self) -> dict[Split | None, list[Path]]:
        """Its files in the Hub's cache. Raises HubError."""
        parts: dict[Split | None, tuple[str, ...]] = {
            "train": self.train,
            "test": self.test,
            None: self.unsplit,
        }
        wanted = [split for splits in parts.values() for split in splits]
        patterns = [pattern for split in wanted for pattern in self._patterns(split)]
        folder = fetch(
            self.repo, patterns, kind="dataset", revision="refs/convert/parquet"
        )
        found = {}
        for part, splits in parts.items():
            if splits:
                found[part] = [file for s in splits for file in self._of(folder, s)]
        return found

    def _patterns(self, split: str) -> tuple[str, str]:
        return (
            f"{self.config}/{split}/*.parquet",
            f"{self.config}/partial-{split}/*.parquet",
        )

    def _of(self, folder: Path, split: str) -> list[Path]:
        for pattern in self._patterns(split):
            if files := sorted(folder.glob(pattern)):
                return files
        raise HubError(f"it holds no {self._patterns(split)[0]}")


@dataclass(frozen=True)
class HubFolder:
    """A repository on the Hub that holds a data set as its authors publish it.

    Attributes:
        files: names or patterns of what is needed.
        read: the records of the folder that they make.
    """

    repo: str
    files: tuple[str, ...]
    read: Callable[[Path], Records]

    def records(self) -> Records:
        """What its files hold. Raises HubError, TaskError."""
        return self.read(fetch(self.repo, self.files, kind="dataset"))


OnHub: TypeAlias = HubTable | HubFolder


def checked_folder(folder: Path | None) -> Path | None:
    """The data folder. Raises TaskError where one was named that does not exist."""
    if folder is not None and not folder.is_dir():
        raise TaskError(
            f"The data folder {folder} does not exist; create it, or leave it out to use the Hub."
        )
    return folder


def from_hub(name: str, hub: OnHub, data: Path | None, expected: str) -> Records:
    """Its records from the Hub.

    Args:
        data: where it was sought before.
        expected: what would have been found there.

    Raises:
        TaskError: neither the Hub nor the data folder has it.
    """
    try:
        return hub.records()
    except HubError as error:
        elsewhere = (
            "no data folder was given" if data is None else f"they are not in {data}"
        )
        raise TaskError(
            f"The pictures of task {name!r} could not be had from the Hub as {hub.repo} ({error}),"
            f" and {elsewhere}. Pass data_dir, or set MATBOARD_DATA, to a folder with {expected}."
        ) from None


@dataclass(frozen=True)
class Facts:
    """What decides how a data set is judged, and how large it is.

    Attributes:
        metric, mirror, also: see Task.
        sizes: how many training and test samples its authors publish.
    """

    metric: str = "accuracy"
    mirror: bool = True
    also: tuple[str, ...] = ()
    sizes: tuple[int, int] | None = None


def built(request: Request, records: Records, facts: Facts) -> Task:
    """The task of a data set's records: what cannot be read left out and listed, what is missing
    said. Raises TaskError.
    """
    whole = assemble(request.name, records)
    notes = [*missing_classes(whole), *size_note(whole, facts.sizes)]
    task = replace(
        whole,
        metric=facts.metric,
        mirror=facts.mirror,
        also=facts.also,
        notes=(*whole.notes, *notes),
    )
    readable = readable_task(task, request.train, request.test, request.seed)
    return with_note(readable, records.unit)
