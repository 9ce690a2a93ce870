"""Pictures in a folder, and text files that say of which class each is and to which part it
belongs, one a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def listed_records(
    lists: Mapping[Path, Split], pictures: Path, understand: Line, form: str
) -> Records:
    """What lists name; a picture that is not there is left out and said.

    Args:
        lists: list → the part it makes.
        pictures: the folder of the pictures.
        form: how a line should look, for errors.
    """
    records = Records([], unit="files")
    for path, split in lists.items():
        for number, line in enumerate(_lines(path), start=1):
            where = f"{path.name}, line {number}"
            try:
                name, answer = understand(line)
            except ValueError:
                raise TaskError(
                    f"{where}: expected {form}, but it reads {line[:80]!r}."
                ) from None
            file = pictures / name
            id = f"{split}/{name}"
            if not file.is_file():
                records.skipped.append(Skipped(id, f"there is no file {file}."))
                continue
            records.found.append(
                Record(where, id, id, partial(decode, file), answer, split, file=file)
            )
    if not records.found:
        raise TaskError(f"None of the pictures that the lists name are in {pictures}.")
    return records


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
