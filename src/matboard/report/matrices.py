"""Heat maps as inline SVG: one path a shade, so that a hundred classes by a hundred prompts stay
small.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from matboard.report.svg import WIDTH

SHADES = 20
TALL, LOW = 34.0, 11.5  # heights of a row in CSS pixels: at most, and of one among many
MANY = 30  # rows from which on they are low and hold no numbers
LETTER = 5.2  # widths in CSS pixels of a letter at SMALL, guess from Liberation Sans
SMALL = 9.5
LONGEST = 18  # letters of a row's name
HEAD = 16.0
LINED = 6.0  # side of a cell from which on there are lines between cells
NUMBERED = 15.0, 14.0  # width and height of a cell from which on it holds its number


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` (the surface's colour) to ``high`` (the full colour)."""

    low: float
    high: float

    def shade(self, value: float) -> int:
        """0 … SHADES; values outside the ends take the end's."""
        return min(SHADES, max(0, round(SHADES * (value - self.low) / (self.high - self.low or 1))))


def scale_over(arrays: Sequence[NDArray[np.float64]], step: float) -> Scale:
    """From the smallest to the largest value, rounded outwards to whole steps."""
    known = [array[np.isfinite(array)] for array in arrays]
    values = np.concatenate([*known, [0.0] if not any(a.size for a in known) else []])
    low, high = (
        math.floor(float(values.min()) / step) * step,
        math.ceil(float(values.max()) / step) * step,
    )
    return Scale(low, max(high, low + step))


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
    left = 8 + LETTER * min(LONGEST, max(map(len, rows)))
    wide = (WIDTH - left) / len(columns)
    tall = min(TALL, max(wide, 16.0)) if len(rows) <= MANY else LOW
    parts = [
        f'<g transform="translate({left:.1f} {HEAD:g}) scale({wide:.3f}'
        f' {tall:.3f})">{"".join(_cells(values, scale, min(wide, tall)))}</g>'
    ]
    parts += [
        _text(left - 5, HEAD + tall * (r + 0.5), _short(name), "end") for r, name in enumerate(rows)
    ]
    every = math.ceil(
        len(columns) / max(1, int((WIDTH - left) / (3 + LETTER * max(map(len, columns)))))
    )
    parts += [
        _text(left + wide * (c + 0.5), HEAD / 2, name, "middle")
        for c, name in enumerate(columns)
        if c % every == 0
    ]
    if wide >= NUMBERED[0] and tall >= NUMBERED[1]:
        parts += _numbers(values, left, wide, tall)
    parts += [
        f'<path class="rule" d="M0 {HEAD + tall * start:.1f}H{WIDTH}"/>'
        for start in starts
        if start
    ]
    height = HEAD + tall * len(rows) + 2
    label = html.escape(words, quote=True)
    return (
        f'<svg role="img" aria-label="{label}" class="cells" viewBox="0 0 {WIDTH}'
        f' {height:.1f}">{"".join(parts)}</svg>'
    )


def _cells(values: NDArray[np.float64], scale: Scale, room: float) -> list[str]:
    """One path a shade, a cell being one unit; where cells are too small for lines between them,
    neighbours of one shade join.
    """
    shades: dict[int, list[str]] = {}
    for r, row in enumerate(values):
        runs = groupby(
            range(len(row)),
            key=lambda c: scale.shade(float(row[c])) if np.isfinite(row[c]) else None,
        )
        for shade, places in runs:
            columns = list(places)
            pieces = [(columns[0], len(columns))] if room < LINED else [(c, 1) for c in columns]
            if shade is not None:
                shades.setdefault(shade, []).extend(f"M{c} {r}h{n}v1h-{n}z" for c, n in pieces)
    lined = " lined" if room >= LINED else ""
    return [
        f'<path class="q{lined}" style="--amount: {100 * s // SHADES}%" d="{"".join(d)}"/>'
        for s, d in sorted(shades.items())
    ]


def _numbers(values: NDArray[np.float64], left: float, wide: float, tall: float) -> list[str]:
    places = (
        (r, c, float(value)) for (r, c), value in np.ndenumerate(values) if np.isfinite(value)
    )
    return [
        _text(
            left + wide * (c + 0.5),
            HEAD + tall * (r + 0.5),
            f"{100 * value:.0f}".replace("-", "−"),
            "middle",
            "number",
        )
        for r, c, value in places
    ]


def _text(x: float, y: float, words: str, anchor: str, kind: str = "name") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"'
        f' text-anchor="{anchor}">{html.escape(words)}</text>'
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
