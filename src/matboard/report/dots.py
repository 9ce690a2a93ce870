"""Figures of single numbers: quantities by name, and what was tried against what it scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matboard.report.figures import (
    WIDTH,
    Drawing,
    colour_of,
    new_axes,
    style,
    to_svg,
    variable,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER = 5.9
"""Width of a letter beside a figure, in CSS pixels, about."""
ROW = 26
"""Height of a row, in CSS pixels."""


@dataclass(frozen=True)
class Quantity:
    """A number with its name; low and high are the ends of what was measured."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def draw_quantities(
    title: str, rows: Sequence[Quantity], form: Callable[[float], str]
) -> Drawing:
    """A dot a row over a logarithmic axis, its number above it; a quantity must be above zero."""
    with style(f"quantities {title}"):
        left = 16 + LETTER * max(len(row.name) for row in rows)
        axes = new_axes(WIDTH + 80, ROW * len(rows) + 40, left=left, bottom=28)
        axes.set_xscale("log")
        for place, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.hlines(place, row.low, row.high, color=colour_of(0), linewidth=1.6)
            axes.plot([row.value], [place], "o", color=colour_of(0), markersize=6)
            axes.annotate(
                form(row.value),
                (row.value, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=9.5,
            )
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=variable("ink"))
        axes.set_ylim(len(rows) - 0.5, -0.9)
        axes.margins(x=0.14)
        axes.grid(axis="x", color=variable("line"), linewidth=0.6)
        _few_ticks(axes, form)
        said = ", ".join(f"{row.name} {form(row.value)}" for row in rows)
        return Drawing(title, to_svg(axes, f"{title}: {said}"))


def _few_ticks(axes: Axes, form: Callable[[float], str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,), numticks=5)
    )
    axes.xaxis.set_major_formatter(lambda x, _: form(x))
    axes.xaxis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class Tried:
    """A value that was tried and its score in [0, 1]; ``whole`` where it was learned to its end."""

    value: Any
    score: float
    whole: bool
    best: bool = False


def draw_tried(title: str, tried: Sequence[Tried], *, log: bool) -> Drawing:
    """A dot a trial: full where it was learned to its end, else hollow, and a ring round the best.
    Where some value is no number, each has a place of its own.
    """
    names: list[str] = []
    if not all(_is_number(one.value) for one in tried):
        names = sorted({str(one.value) for one in tried})
    with style(f"tried {title}"):
        axes = new_axes(WIDTH, 220, left=46, bottom=40)
        for one in tried:
            x = names.index(str(one.value)) if names else one.value
            _draw_tried(axes, x, one)
        if names:
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.5, len(names) - 0.5)
        elif log:
            axes.set_xscale("log")
            _few_ticks(axes, lambda x: f"{x:g}")
        axes.grid(axis="y", color=variable("line"), linewidth=0.6)
        axes.set_xlabel(title)
        best = next(one for one in tried if one.best)
        said = f"Validation score over {title}, best {best.score:.3f} at {best.value}"
        return Drawing(f"score over {title}", to_svg(axes, said))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_tried(axes: Axes, x: float, one: Tried) -> None:
    colour = colour_of(0)
    face = colour if one.whole else variable("surface")
    axes.plot(
        [x],
        [one.score],
        "o",
        markersize=6,
        markerfacecolor=face,
        markeredgecolor=colour,
        markeredgewidth=1.4,
        zorder=3,
    )
    if one.best:
        axes.plot(
            [x],
            [one.score],
            "o",
            markersize=12,
            markerfacecolor="none",
            markeredgecolor=variable("ink"),
            zorder=2,
        )
