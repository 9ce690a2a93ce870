"""The plane of accuracy and forgetting: a numbered dot a learner, crosses for intervals, the paths
of distillation's weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import TYPE_CHECKING, Any, TypeAlias

from matboard.report.figures import colour_of, new_axes, style, to_svg, variable
from matboard.report.stream.table import LearnerRow, arrange
from matboard.results.stream import Kind, StreamResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = (420, 340)
"""Width and height in CSS pixels."""
MARKERS: dict[Kind, str] = {"prompt": "o", "baseline": "s", "control": "D"}
COLOURS: dict[Kind, int] = {"prompt": 0, "baseline": 1, "control": 4}
RINGS = (11, 17, 24, 32, 41, 51)
"""How far from its dot a number may stand, in points."""
TURNS = 16
"""Directions in which it may."""
HALF = (6.5, 5.5)
"""Half a number's width and height, in points: two digits."""
DOT = 4
"""A dot's radius, in points."""
COVERED = 1000
CROSSED = 9
"""What it costs to cover a number or a dot, and to cross a bar, in points of distance."""
LEADER = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}

Place: TypeAlias = tuple[float, float]
Bar: TypeAlias = tuple[Place, Place]
"""From its lower to its upper end, across or upright."""


@dataclass(frozen=True)
class Dot:
    """A learner and where it stands: forgetting across, accuracy upright."""

    row: LearnerRow
    place: Place


def draw_plane(results: StreamResults) -> str | None:
    """None where no learner has both numbers."""
    dots = {}
    for row in arrange(results).rows:
        place = _place(row)
        if place is not None:
            dots[row.learner.name] = Dot(row, place)
    if not dots:
        return None
    with style("plane"):
        axes = new_axes(*SIDE, left=46, bottom=40)
        for path in results.paths:
            on_it = [
                dots[point.learner] for point in path.points if point.learner in dots
            ]
            _draw_path(axes, on_it)
        for dot in dots.values():
            _draw_dot(axes, dot)
        axes.grid(color=variable("line"), linewidth=0.6)
        axes.margins(0.08)
        axes.set_xlabel("forgetting  (← less is better)")
        axes.set_ylabel("accuracy after the last task  (higher is better →)")
        _write_numbers(axes, list(dots.values()))
        return to_svg(axes, "Accuracy and forgetting of every learner")


def _place(row: LearnerRow) -> Place | None:
    x = row.summary.forgetting.value
    y = row.summary.accuracy.value
    return None if x is None or y is None else (x, y)


def _draw_path(axes: Axes, dots: Sequence[Dot]) -> None:
    xs = [dot.place[0] for dot in dots]
    ys = [dot.place[1] for dot in dots]
    axes.plot(xs, ys, color=variable("muted"), linewidth=1.2, zorder=1)


def _draw_dot(axes: Axes, dot: Dot) -> None:
    x, y = dot.place
    kind = dot.row.learner.kind
    colour = colour_of(COLOURS[kind])
    across = dot.row.summary.forgetting
    upright = dot.row.summary.accuracy
    line: dict[str, Any] = {
        "color": colour,
        "linewidth": 1.2,
        "alpha": 0.55,
        "zorder": 2,
    }
    if across.low is not None and across.high is not None:
        axes.hlines(y, across.low, across.high, **line)
    if upright.low is not None and upright.high is not None:
        axes.vlines(x, upright.low, upright.high, **line)
    axes.plot(
        [x],
        [y],
        MARKERS[kind],
        markersize=6,
        markerfacecolor=colour,
        markeredgecolor=variable("surface"),
        zorder=3,
    )


def _write_numbers(axes: Axes, dots: Sequence[Dot]) -> None:
    """A number beside every dot, with a line to it where it could not stand close."""
    places, bars = _in_points(axes, dots)
    for dot, offset in zip(dots, place_numbers(places, bars), strict=True):
        away = hypot(*offset) > RINGS[0] + 1
        axes.annotate(
            str(dot.row.number),
            dot.place,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            color=variable("ink"),
            zorder=4,
            arrowprops=LEADER | {"color": variable("ink")} if away else None,
        )


def _in_points(axes: Axes, dots: Sequence[Dot]) -> tuple[list[Place], list[Bar]]:
    """Where dots and the bars of their intervals lie in the drawing."""
    axes.autoscale_view()  # the transform below does not wait for it
    figure = axes.get_figure(root=True)
    assert figure is not None
    scale = 72 / figure.dpi

    def drawn(x: float, y: float) -> Place:
        across, upright = axes.transData.transform((x, y)) * scale
        return float(across), float(upright)

    bars = []
    for dot in dots:
        x, y = dot.place
        across = dot.row.summary.forgetting
        upright = dot.row.summary.accuracy
        if across.low is not None and across.high is not None:
            bars.append((drawn(across.low, y), drawn(across.high, y)))
        if upright.low is not None and upright.high is not None:
            bars.append((drawn(x, upright.low), drawn(x, upright.high)))
    return [drawn(*dot.place) for dot in dots], bars


def place_numbers(dots: Sequence[Place], bars: Sequence[Bar]) -> list[Place]:
    """How far from its dot each number stands, in points: as near as no other number and no dot is
    covered, and rather a little farther than on a bar.
    """
    numbers: list[Place] = []
    offsets = []
    for x, y in dots:
        costs = {}
        for ring in RINGS:
            for turn in range(TURNS):
                angle = 2 * pi * (turn + 0.5) / TURNS
                offset = (ring * cos(angle), ring * sin(angle))
                number = (x + offset[0], y + offset[1])
                costs[offset] = ring + _cost(number, numbers, dots, bars)
        offset = min(costs, key=lambda offset: costs[offset])
        numbers.append((x + offset[0], y + offset[1]))
        offsets.append(offset)
    return offsets


def _cost(
    number: Place, numbers: Sequence[Place], dots: Sequence[Place], bars: Sequence[Bar]
) -> float:
    """Of writing a number there, beside its distance, in points."""
    x, y = number
    covered = sum(
        abs(x - a) < 2 * HALF[0] and abs(y - b) < 2 * HALF[1] for a, b in numbers
    )
    covered += sum(
        abs(x - a) < HALF[0] + DOT and abs(y - b) < HALF[1] + DOT for a, b in dots
    )
    crossed = sum(
        start[0] - HALF[0] < x < end[0] + HALF[0]
        and start[1] - HALF[1] < y < end[1] + HALF[1]
        for start, end in bars
    )
    return COVERED * covered + CROSSED * crossed
