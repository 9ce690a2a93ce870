"""A table of words: what a page, a document and a terminal show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matboard.report.terminal import Line, fitted
from matboard.report.words import MARKS, STYLES, signed
from matboard.results.parts import Decision, Difference

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Said:
    """A table's cell.

    Attributes:
        words: what stands in it; empty where there is nothing.
        below: in small, such as an interval.
        decision: which colour it has.
    """

    words: str = ""
    below: str = ""
    decision: Decision = "undecided"

    @property
    def line(self) -> str:
        """Both in one line."""
        return f"{self.words} {self.below}".strip()


@dataclass(frozen=True)
class PlainTable:
    """Rows and columns.

    Attributes:
        heads: of the columns, the first that of the rows' names.
        rows: a name and as many cells as there are other columns.
        note: what the numbers are.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Said, ...]], ...]
    note: str = ""


def gain_cell(difference: Difference | None) -> Said:
    """A gain, its interval below, marked where it is decided."""
    if difference is None or difference.value is None:
        return Said("–")
    words = f"{signed(difference.value)} {MARKS[difference.decision]}".rstrip()
    return Said(words, _ends(difference), difference.decision)


def as_markdown(table: PlainTable) -> str:
    """For a document: the table, and its note below."""
    lines = [_line(table.heads), _line(["---"] * len(table.heads))]
    for name, cells in table.rows:
        lines.append(_line([name, *(cell.line for cell in cells)]))
    return "\n".join([*lines, "", table.note] if table.note else lines)


def as_rich(table: PlainTable) -> Group:
    """For a terminal: intervals in a second line, and more than one table where it is too wide."""
    from rich.console import Group
    from rich.text import Text

    lines = []
    for name, cells in table.rows:
        texts = []
        for cell in cells:
            text = Text(cell.words, style=STYLES[cell.decision])
            if cell.below:
                text.append(f"\n{cell.below}", style="dim")
            texts.append(text)
        lines.append(Line(Text(name), tuple(texts)))
    tables = fitted(table.heads, lines, title=table.title)
    note = [Text(table.note, style="dim italic")] if table.note else []
    return Group(*tables, *note)


def _ends(value: Difference) -> str:
    if value.too_few:
        return "too few samples" if value.n else ""
    return f"[{signed(value.low)}, {signed(value.high)}]"


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
