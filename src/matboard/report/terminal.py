"""Tables that fit a terminal of 80 columns: a column that finds no room stands in another table
below, beside the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WIDTH = 80 - 2
"""Within the blank at both edges."""
NAMES = 26
"""Letters of rows' names for which room is kept; longer ones go on in the next line."""
HEAD = 16
"""Letters of a head that stand together at least (guess)."""
WIDEST = 48
"""Of a column; what is longer goes on in the next line."""


@dataclass(frozen=True)
class Line:
    """A row: its name and cells; without cells it is a heading of those below.

    Attributes:
        section: whether a new part begins with it.
    """

    name: Text
    cells: tuple[Text, ...] = ()
    section: bool = False


def fitted(
    heads: Sequence[str], lines: Sequence[Line], *, always: int = 0, title: str = ""
) -> list[Table]:
    """As many tables as it takes.

    Args:
        heads: of the columns, the first that of the rows' names.
        always: how many of the first columns stand in every table.
        title: of the first table.
    """
    rows = [line for line in lines if line.cells]
    columns = list(zip(*(row.cells for row in rows), strict=True))
    widths = [
        _width(head, cells) for head, cells in zip(heads[1:], columns, strict=True)
    ]
    names = min(NAMES, _longest([heads[0], *(row.name.plain for row in rows)]))
    return [
        _table(heads, widths, lines, beside, title if not place else "")
        for place, beside in enumerate(side_by_side(names, widths, always))
    ]


def side_by_side(
    names: int, widths: Sequence[int], always: int = 0
) -> Iterator[list[int]]:
    """The columns of each table, by their places.

    Args:
        names: letters of the rows' names.
        widths: letters of each column.
        always: how many of the first columns stand in every table.
    """
    kept = list(range(always))
    beside = list(kept)
    for place in range(always, len(widths)):
        taken = sum(widths[one] + 1 for one in [*beside, place])
        if names + taken > WIDTH and beside != kept:
            yield beside
            beside = list(kept)
        beside.append(place)
    yield beside


def _width(head: str, cells: Sequence[Text]) -> int:
    """Of a column: no cell is broken, and of the head no word that is short."""
    words = min(HEAD, max((len(word.strip()) for word in _words(head)), default=1))
    return min(WIDEST, max(words, _longest([cell.plain for cell in cells])))


def _longest(texts: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max(
        (cell_len(line) for text in texts for line in text.split("\n")), default=1
    )


def _words(head: str) -> list[str]:
    """What of a head may stand in lines of its own; a hyphen does not part a name."""
    part = r"(?:[^\s@=,/._]|[._](?![A-Za-z]))+[@=,/._]*[^\S\n]*"  # numbers stay whole
    return re.findall(rf"\n|{part}|\S", head)


def _broken(head: str, width: int) -> str:
    """The head in lines of so many letters, if its words allow it."""
    lines = [""]
    for word in _words(head):
        if word == "\n" or len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word.lstrip("\n")
    return "\n".join(line.rstrip() for line in lines if line)


def _table(
    heads: Sequence[str],
    widths: Sequence[int],
    lines: Sequence[Line],
    beside: Sequence[int],
    title: str,
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    table.add_column(Text(heads[0]), overflow="fold")
    for place in beside:
        head = Text(_broken(heads[1 + place], widths[place]))
        table.add_column(head, justify="right", width=widths[place], overflow="fold")
    for line in lines:
        if line.section:
            table.add_section()
        table.add_row(line.name, *(line.cells[place] for place in beside if line.cells))
    return table
