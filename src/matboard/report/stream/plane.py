"""The plane of accuracy and forgetting: a numbered dot a learner, crosses for intervals, the paths
of distillation's weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

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
OFFSETS = [(x, y) for y in STEPS for x in STEPS if (x, y) != (0, 0)]
NEAR = 11
"""Points; closer than this, numbers and dots would touch."""

Place: TypeAlias = tuple[float, float]


def draw_plane(results: StreamResults) -> str | None:
    """None where no learner has both numbers."""
    rows = {row.learner.name: row for row in arrange(results).rows}
    points = {name: place for name, row in rows.items() if (place := _place(row))}
    if not points:
        return None
    with style("plane"):
        axes = new_axes(*SIDE, left=46, bottom=40)
        for path in results.paths:
            places = [points[p.learner] for p in path.points if p.learner in points]
            axes.plot(*zip(*places), color=variable("muted"), linewidth=1.2, zorder=1)
        for name, place in points.items():
            _draw_dot(axes, rows[name], place)
        axes.grid(color=variable("line"), linewidth=0.6)
        axes.margins(0.08)
        axes.set_xlabel("forgetting  (← less is better)")
        axes.set_ylabel("accuracy after the last task  (higher is better →)")
        _write_numbers(axes, {rows[name].number: place for name, place in points.items()})
        return to_svg(axes, "Accuracy and forgetting of every learner")


def _place(row: LearnerRow) -> Place | None:
    x = row.summary.forgetting.value
    y = row.summary.accuracy.value
    return None if x is None or y is None else (x, y)


def _draw_dot(axes: Axes, row: LearnerRow, place: Place) -> None:
    x, y = place
    kind = row.learner.kind
    colour = colour_of(COLOURS[kind])
    across = row.summary.forgetting
    upright = row.summary.accuracy
    for xs, ys in (((across.low, across.high), (y, y)), ((x, x), (upright.low, upright.high))):
        if None not in (*xs, *ys):
            axes.plot(xs, ys, color=colour, linewidth=1.2, alpha=0.55, zorder=2)  # type: ignore[arg-type]
    edge = variable("surface")
    marker = MARKERS[kind]
    axes.plot([x], [y], marker, markersize=6, mfc=colour, mec=edge, zorder=3)


def _write_numbers(axes: Axes, points: Mapping[int, Place]) -> None:
    """Every number stands beside its dot, where it is farthest from other dots and from numbers
    already written.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    taken: list[Place] = []
    for point in points.values():
        x, y = axes.transData.transform(point) * 72 / figure.dpi
        taken.append((x, y))
    for (number, point), dot in zip(points.items(), list(taken)):
        offset = _offset(dot, taken)
        taken.append((dot[0] + offset[0], dot[1] + offset[1]))
        axes.annotate(
            str(number),
            point,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            color=variable("ink"),
        )


def _offset(dot: Place, taken: list[Place]) -> Place:
    """The first that is far enough from everything, else the farthest."""
    room = {}
    for offset in OFFSETS:
        place = (dot[0] + offset[0], dot[1] + offset[1])
        room[offset] = min(_apart(place, other) for other in taken)
    far = (offset for offset in OFFSETS if room[offset] >= NEAR)
    return next(far, max(OFFSETS, key=lambda offset: room[offset]))


def _apart(a: Place, b: Place) -> float:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))
