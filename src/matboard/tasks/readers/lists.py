"""Pictures in a folder, and text files that say of which class each is and to which part it
belongs, one a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matboard.disk import read_regular
from matboard.errors import TaskError
from matboard.images import decode
from matboard.tasks.records import Record, Records, Split
from matboard.tasks.task import Skipped

MOST_BYTES = 2**26
"""Food-101's training list, the longest, has 2 MB."""

Line = Callable[[str], tuple[str, str]]
"""A line of a list → the picture's file, relative to the pictures' folder, and its class. Raises
ValueError where the line has another form.
"""


@dataclass(frozen=True)
class Lists:
    """What lists name, as the records of a data set's folder.

    Attributes:
        train, test: the list that makes each part, relative to the folder.
        pictures: the folder of the pictures, likewise.
        line: understands a line.
        form: how a line should look, for errors.
    """

    train: str
    test: str
    pictures: str
    line: Line
    form: str

    def __call__(self, root: Path) -> Records:
        """Of a folder; a picture that is not there is left out and said. Raises TaskError."""
        records = Records([], unit="files")
        self._add(records, root, self.train, "train")
        self._add(records, root, self.test, "test")
        if not records.found:
            raise TaskError(
                f"None of the pictures that the lists name are in {root / self.pictures}."
            )
        return records

    def _add(self, records: Records, root: Path, own: str, split: Split) -> None:
        path = root / own
        for number, line in enumerate(_lines(path), start=1):
            where = f"{path.name}, line {number}"
            try:
                name, answer = self.line(line)
            except ValueError:
                raise TaskError(
                    f"{where}: expected {self.form}, but it reads {line[:80]!r}."
                ) from None
            file = root / self.pictures / name
            id = f"{split}/{name}"
            if not file.is_file():
                records.skipped.append(Skipped(id, f"there is no file {file}."))
                continue
            records.found.append(
                Record(where, id, id, partial(decode, file), answer, split, file=file)
            )


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise TaskError(
            f"{path.parent} has no {path.name}, which its authors' archive has; unpack it again."
        )
    try:
        lines = read_regular(path, MOST_BYTES).decode().splitlines()
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is not UTF-8 text: {error}.") from None
    return [line.strip() for line in lines if line.strip() and line[0] != "#"]
