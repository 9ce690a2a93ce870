"""Figures of what studies ask: curves with bands, gains as dots, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matboard.report.figures import (
    WIDTH,
    Drawing,
    colour_of,
    new_axes,
    style,
    to_svg,
    variable,
)
from matboard.report.words import signed
from matboard.results.parts import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
FAR = 8
"""How many times the smallest value the largest is where they share no linear axis (guess)."""
LABEL = 34
"""Characters of a row's name that fit beside a figure (guess)."""
LETTER = 5.9
"""Width of a letter beside a figure, in CSS pixels, about."""
WIDE = 440
"""Of a figure with names beside it at least, in CSS pixels: two fit a desktop."""
STYLES = ((0, (4, 3)), (0, (1, 2)))
"""Dashes of what is drawn for reference."""


@dataclass(frozen=True)
class Point:
    """A value over x; low and high are None where there is no interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A line; ``colour`` counts through METHOD_COLOURS, None for what is only for reference."""

    label: str
    colour: int | None
    points: tuple[Point, ...]


def draw_curves(
    title: str, across: str, curves: Sequence[Curve], *, zero: bool = False
) -> Drawing:
    """Lines with bands; what is for reference is dashed or dotted, in the muted colour.

    Args:
        across: what the horizontal axis is.
        zero: whether the values are differences, and zero is drawn.
    """
    with style(f"{title} over {across}"):
        axes = new_axes(WIDTH, 240, left=50, bottom=40)
        xs = sorted({point.x for curve in curves for point in curve.points})
        if zero:
            axes.axhline(0, color=variable("muted"), linewidth=1, zorder=1)
        references = 0
        for curve in curves:
            if curve.colour is None:
                _draw_reference(axes, curve, references)
                references += 1
            else:
                _draw_curve(axes, curve, curve.colour)
        _dress(axes, across, xs, zero)
        legend = {c.label: c.colour for c in curves if c.colour is not None}
        words = f"{title} over {across}: {', '.join(curve.label for curve in curves)}"
        return Drawing(title, to_svg(axes, words), legend)


def _draw_curve(axes: Axes, curve: Curve, number: int) -> None:
    colour = colour_of(number)
    points = curve.points
    xs = [point.x for point in points]
    marker = MARKERS[number % len(MARKERS)]
    ys = [point.y for point in points]
    axes.plot(xs, ys, color=colour, linewidth=1.6, marker=marker, markersize=5)
    ended = [p for p in points if p.low is not None and p.high is not None]
    if not ended:
        return
    lows = [point.low or 0.0 for point in ended]
    highs = [point.high or 0.0 for point in ended]
    if len(ended) == len(points) > 1:
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.14, linewidth=0)
    else:
        axes.vlines([p.x for p in ended], lows, highs, color=colour, linewidth=1.4)


def _draw_reference(axes: Axes, curve: Curve, place: int) -> None:
    axes.plot(
        [point.x for point in curve.points],
        [point.y for point in curve.points],
        color=variable("muted"),
        linewidth=1.2,
        linestyle=STYLES[place % len(STYLES)],
        zorder=1,
    )


def _dress(axes: Axes, across: str, xs: Sequence[float], zero: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    if xs and xs[0] > 0 and xs[-1] >= FAR * xs[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(_apart(axes, xs))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    if zero:
        axes.yaxis.set_major_formatter(
            lambda y, _: "0" if abs(y) < 1e-9 else signed(y, 2)
        )
    axes.set_xlabel(across)
    axes.grid(axis="y", color=variable("line"), linewidth=0.6)
    axes.margins(x=0.04)


def _apart(axes: Axes, xs: Sequence[float]) -> list[float]:
    """Those of the values whose numbers do not touch along the axis."""
    if not xs:
        return []
    transform = axes.transScale.transform
    ends = [transform((x, 0.5))[0] for x in (xs[0], xs[-1])]
    whole = (ends[1] - ends[0]) or 1.0
    kept = [xs[0]]
    for x in xs[1:]:
        last = transform((kept[-1], 0.5))[0]
        if (transform((x, 0.5))[0] - last) / whole > 0.09:
            kept.append(x)
    return kept


# -- gains -----------------------------------------------------------------------------------------


def draw_gains(title: str, rows: Sequence[tuple[str, Difference | None]]) -> Drawing:
    """A dot a row with its interval, hollow where undecided."""
    tall = 20
    with style(f"gains {title}"):
        left = _beside([name for name, _ in rows])
        height = tall * len(rows) + 52
        axes = new_axes(max(WIDE, left + 220), height, left=left, bottom=36)
        for place, (_, difference) in enumerate(rows):
            _draw_dot(axes, difference, place)
        axes.axvline(0, color=variable("muted"), linewidth=1, zorder=1)
        axes.grid(axis="x", color=variable("line"), linewidth=0.6)
        axes.set_yticks(range(len(rows)), [short(name) for name, _ in rows])
        axes.tick_params(axis="y", length=0, labelcolor=variable("ink"))
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="← worse · better →")
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(
            lambda x, _: "0" if abs(x) < 1e-9 else signed(x, 2)
        )
        return Drawing(title, to_svg(axes, f"Gains {title}"))


def _draw_dot(axes: Axes, difference: Difference | None, y: int) -> None:
    if difference is None or difference.value is None:
        return
    colour = colour_of(0)
    if difference.low is not None and difference.high is not None:
        axes.hlines(y, difference.low, difference.high, color=colour, linewidth=1.6)
    hollow = difference.decision == "undecided"
    axes.plot(
        [difference.value],
        [y],
        "o",
        markersize=6,
        markerfacecolor=variable("surface") if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.4,
    )


def _beside(names: Sequence[str]) -> float:
    """Room for the names of rows."""
    return 16 + LETTER * max(len(short(name)) for name in names)


def short(name: str) -> str:
    """The end of a name that is too long for a figure."""
    return name if len(name) <= LABEL else f"…{name[1 - LABEL :]}"


# -- matrices --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """Differences by row and column; None where nothing was measured."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def draw_matrix(title: str, matrix: Matrix) -> Drawing:
    """A square a difference, from worse over nothing to better, its number inside."""
    from matplotlib.patches import Rectangle

    known = [abs(v) for row in matrix.values for v in row if v is not None]
    span = max([0.05, *known])
    left = _beside(matrix.rows)
    below = 20 + 0.6 * _beside(matrix.columns)
    width = max(WIDE, left + 54 * len(matrix.columns) + 14)
    with style(f"matrix {title}"):
        height = 26 * len(matrix.rows) + below + 12
        axes = new_axes(width, height, left=left, bottom=below)
        for y, row in enumerate(matrix.values):
            for x, value in enumerate(row):
                if value is None:
                    continue
                colour = variable("better" if value > 0 else "worse")
                strength = 0.85 * abs(value) / span
                place = (x - 0.5, y - 0.5)
                axes.add_patch(
                    Rectangle(
                        place, 0.96, 0.94, color=colour, alpha=strength, linewidth=0
                    )
                )
                axes.text(
                    x, y, signed(value, 2), ha="center", va="center", fontsize=9.5
                )
        axes.set(xlim=(-0.5, len(matrix.columns) - 0.5))
        axes.set(ylim=(len(matrix.rows) - 0.5, -0.5))
        axes.set_yticks(range(len(matrix.rows)), [short(name) for name in matrix.rows])
        names = [short(name) for name in matrix.columns]
        axes.set_xticks(range(len(names)), names, rotation=28, ha="right")
        axes.tick_params(length=0, labelcolor=variable("ink"), labelsize=9.5)
        axes.spines["bottom"].set_visible(False)
        return Drawing(title, to_svg(axes, f"Matrix of {title}"))
