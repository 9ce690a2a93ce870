"""Heat maps as inline SVG: one path a shade, so that a hundred classes by a hundred prompts stay
small.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from matboard.report.figures import WIDTH
from matboard.report.words import fixed

SHADES = 20
TALL = 34.0
"""Height of a row in CSS pixels, at most."""
LOW = 11.5
"""Height of a row among many."""
MANY = 30
"""Rows from which on they are low and hold no numbers."""
LETTER = 5.2
"""Width in CSS pixels of a small letter: guess from Liberation Sans."""
LONGEST = 18
"""Letters of a row's name."""
HEAD = 16.0
LINED = 6.0
"""Side of a cell from which on there are lines between cells."""
NUMBERED = (15.0, 14.0)
"""Width and height of a cell from which on it holds its number."""


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` (the surface's colour) to ``high`` (the full colour)."""

    low: float
    high: float

    def shade(self, value: float) -> int:
        """0 … SHADES; values outside the ends take the end's."""
        share = (value - self.low) / (self.high - self.low or 1)
        shade = round(SHADES * share)
        return min(SHADES, max(0, shade))


def scale_over(arrays: Sequence[NDArray[np.float64]], step: float) -> Scale:
    """From the smallest to the largest value, rounded outwards to whole steps."""
    values = [0.0]
    known = [array[np.isfinite(array)] for array in arrays]
    if any(array.size for array in known):
        values = np.concatenate(known).tolist()
    low = math.floor(min(values) / step) * step
    high = math.ceil(max(values) / step) * step
    return Scale(low, max(high, low + step))


@dataclass(frozen=True)
class Grid:
    """Where cells lie, in CSS pixels."""

    left: float
    wide: float
    tall: float
    count: int

    @classmethod
    def of(cls, rows: Sequence[str], columns: Sequence[str]) -> Grid:
        """Room for the longest name of a row, and cells that fill the rest."""
        left = 8 + LETTER * min(LONGEST, max(map(len, rows)))
        wide = (WIDTH - left) / len(columns)
        tall = min(TALL, max(wide, 16.0)) if len(rows) <= MANY else LOW
        return cls(left, wide, tall, len(rows))

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return HEAD + self.tall * self.count + 2

    @property
    def numbered(self) -> bool:
        """Whether a cell has room for its number."""
        return self.wide >= NUMBERED[0] and self.tall >= NUMBERED[1]

    def x(self, column: float) -> float:
        """The middle of a column."""
        return self.left + self.wide * (column + 0.5)

    def y(self, row: float) -> float:
        """The middle of a row."""
        return HEAD + self.tall * (row + 0.5)


def heat_map(
    values: NDArray[np.float64],
    scale: Scale,
    rows: Sequence[str],
    columns: Sequence[str],
    words: str,
    *,
    starts: Sequence[int] = (),
) -> str:
    """Rows × columns of shades with their names; NaN stays empty; a line above every row in
    ``starts``, the first aside.

    Where a cell has room it holds its value in hundredths.
    """
    grid = Grid.of(rows, columns)
    place = (
        f"translate({grid.left:.1f} {HEAD:g}) scale({grid.wide:.3f} {grid.tall:.3f})"
    )
    room = min(grid.wide, grid.tall)
    cells = _cells(values, scale, room)
    parts = [f'<g transform="{place}">{"".join(cells)}</g>']
    parts += _row_names(rows, grid)
    parts += _column_names(columns, grid)
    if grid.numbered:
        parts += _numbers(values, grid)
    for start in starts:
        if start:
            parts.append(
                f'<path class="rule" d="M0 {HEAD + grid.tall * start:.1f}H{WIDTH}"/>'
            )
    label = html.escape(words, quote=True)
    head = f'<svg role="img" aria-label="{label}" class="cells"'
    return f'{head} viewBox="0 0 {WIDTH} {grid.height:.1f}">{"".join(parts)}</svg>'


def _cells(values: NDArray[np.float64], scale: Scale, room: float) -> list[str]:
    """One path a shade, a cell being one unit; where cells are too small for lines between them,
    neighbours of one shade join.
    """
    shades: dict[int, list[str]] = {}
    lined = room >= LINED
    for place, row in enumerate(values):
        column = 0
        for shade, cells in groupby(_shades(row, scale)):
            count = len(list(cells))
            piece = f"M{column} {place}h{count}v1h-{count}z"
            if lined:
                piece = "".join(f"M{column + c} {place}h1v1h-1z" for c in range(count))
            if shade is not None:
                shades.setdefault(shade, []).append(piece)
            column += count
    name = "q lined" if lined else "q"
    paths = []
    for shade, pieces in sorted(shades.items()):
        amount = 100 * shade // SHADES
        paths.append(
            f'<path class="{name}" style="--amount: {amount}%" d="{"".join(pieces)}"/>'
        )
    return paths


def _shades(row: NDArray[np.float64], scale: Scale) -> list[int | None]:
    """None where nothing is known."""
    return [None if np.isnan(value) else scale.shade(float(value)) for value in row]


def _row_names(rows: Sequence[str], grid: Grid) -> Iterator[str]:
    for place, name in enumerate(rows):
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        yield _text(grid.left - 5, grid.y(place), short, "end")


def _column_names(columns: Sequence[str], grid: Grid) -> Iterator[str]:
    """As many as there is room for."""
    wide = 3 + LETTER * max(map(len, columns))
    room = max(1, int((WIDTH - grid.left) / wide))
    every = math.ceil(len(columns) / room)
    for place in range(0, len(columns), every):
        yield _text(grid.x(place), HEAD / 2, columns[place], "middle")


def _numbers(values: NDArray[np.float64], grid: Grid) -> Iterator[str]:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            number = fixed(100 * float(value), 0)
            yield _text(grid.x(column), grid.y(row), number, "middle", "number")


def _text(x: float, y: float, words: str, anchor: str, kind: str = "name") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{html.escape(words)}</text>'
