"""JSON files that hold one long list of objects, read one object at a time: CLEVR's scenes have
some hundred megabytes, of which little is wanted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from matboard.disk import regular_size
from matboard.errors import TaskError

BLOCK = 2**20
"""So many characters are read at a time."""
LONGEST = 2**24
"""No object has more characters: a CLEVR scene has some 10,000."""


def json_items(path: Path, key: str | None = None) -> Iterator[dict[str, Any]]:
    """The objects of a list: the file's own, or the one under ``key`` of the object that the file
    holds. Raises TaskError where there is no such list, or where something else is in it.
    """
    regular_size(path)
    with path.open(encoding="utf-8") as file:
        try:
            yield from _Items(file, path, key)
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            raise TaskError(
                f"{path} is no JSON of the expected form: {error}."
            ) from None


class _Items:
    """A window that moves over the file, and the place in it that is next."""

    def __init__(self, file: TextIO, path: Path, key: str | None) -> None:
        self.file = file
        self.path = path
        self.start = r"\s*\[" if key is None else rf'"{re.escape(key)}"\s*:\s*\['
        self.text = ""
        self.place = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._find_start()
        decoder = json.JSONDecoder()
        while self._next_character() != "]":
            item = self._decoded(decoder)
            if not isinstance(item, dict):
                raise ValueError(f"a {type(item).__name__} stands among its objects")
            yield item
            if self._next_character() == ",":
                self.place += 1
            elif self._next_character() != "]":
                raise ValueError("two objects have no comma between them")

    def _find_start(self) -> None:
        """Move to behind the list's bracket. Only the end of a block is searched again."""
        while (found := re.search(self.start, self.text)) is None:
            self.place = max(0, len(self.text) - 1000)
            if not self._read():
                raise ValueError("there is no list of objects in it")
        self.place = found.end()

    def _next_character(self) -> str:
        while True:
            while self.place < len(self.text) and self.text[self.place].isspace():
                self.place += 1
            if self.place < len(self.text):
                return self.text[self.place]
            if not self._read():
                raise ValueError("it ends before its list does")

    def _decoded(self, decoder: json.JSONDecoder) -> Any:
        while True:
            try:
                item, self.place = decoder.raw_decode(self.text, self.place)
            except json.JSONDecodeError as error:
                if len(self.text) > LONGEST or not self._read():
                    raise ValueError(f"an object is broken ({error.msg})") from None
            else:
                return item

    def _read(self) -> bool:
        """Read one more block; what lies before the place is forgotten."""
        block = self.file.read(BLOCK)
        self.text = self.text[self.place :] + block
        self.place = 0
        return bool(block)
