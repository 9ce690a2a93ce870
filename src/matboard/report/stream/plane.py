"""The plane of accuracy and forgetting: a numbered dot a learner, crosses for intervals, the paths
of distillation's weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
STEPS = (9, -9, 0, 18, -18)
"""Where a dot's number may stand beside it, in points, the likeliest first."""
OFFSETS = [(x, y) for y in STEPS for x in STEPS]
OFFSETS.remove((0, 0))
NEAR = 11
"""Points; closer than this, numbers and dots would touch."""

Place: TypeAlias = tuple[float, float]


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
    """Every number stands beside its dot, where it is farthest from other dots and from numbers
    already written.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    drawn: list[Place] = []
    for dot in dots:
        x, y = axes.transData.transform(dot.place) * 72 / figure.dpi
        drawn.append((x, y))
    taken = list(drawn)
    for dot, (x, y) in zip(dots, drawn):
        offset = _offset((x, y), taken)
        taken.append((x + offset[0], y + offset[1]))
        axes.annotate(
            str(dot.row.number),
            dot.place,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            color=variable("ink"),
        )


def _offset(place: Place, taken: Sequence[Place]) -> Place:
    """The first that is far enough from everything, else the farthest."""
    room = {}
    for offset in OFFSETS:
        moved = (place[0] + offset[0], place[1] + offset[1])
        room[offset] = min(_apart(moved, other) for other in taken)
        if room[offset] >= NEAR:
            return offset
    return max(OFFSETS, key=lambda offset: room[offset])


def _apart(a: Place, b: Place) -> float:
    across = abs(a[0] - b[0])
    upright = abs(a[1] - b[1])
    return max(across, upright)
