"""The plane of accuracy and forgetting: a numbered dot a learner, crosses for intervals, the path
of distillation's weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matboard.report.continual_results import KINDS, ContinualResults, Interval, Summary
from matboard.report.svg import colour_of, new_axes, style, to_svg, variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 420, 340  # width and height in CSS pixels
MARKERS = {"prompt": "o", "baseline": "s", "control": "D"}
COLOURS = {"prompt": 0, "baseline": 1, "control": 4}
OFFSETS = [
    (x, y) for y in (9, -9, 0, 18, -18) for x in (9, -9, 0, 18, -18) if (x, y) != (0, 0)
]  # of a dot's number, in points
NEAR = 11  # points; closer than this, numbers and dots would touch


def kind_of(kind: str) -> str:
    """The kind that is drawn; an unknown one counts as a baseline."""
    return kind if kind in KINDS else "baseline"


def draw_plane(results: ContinualResults) -> str | None:
    """None where no learner has both numbers."""
    numbers = {learner.name: place for place, learner in enumerate(results.arranged, start=1)}
    kinds = {learner.name: kind_of(learner.kind) for learner in results.learners}
    placed = {
        s.learner: s
        for s in results.summary
        if s.accuracy.value is not None and s.forgetting.value is not None
    }
    if not placed:
        return None
    with style("plane"):
        axes = new_axes(*SIDE, left=46, bottom=40)
        points = {name: _place(summary) for name, summary in placed.items()}
        path = [points[point.learner] for point in results.path if point.learner in points]
        if len(path) > 1:
            axes.plot(*zip(*path), color=variable("muted"), linewidth=1.2, zorder=1)
        for name, summary in placed.items():
            _draw_dot(axes, summary, kinds[name])
        axes.grid(color=variable("line"), linewidth=0.6)
        axes.margins(0.08)
        axes.set(
            xlabel="forgetting  (← less is better)",
            ylabel="accuracy after the last task  (higher is better →)",
        )
        _write_numbers(axes, {numbers[name]: point for name, point in points.items()})
        return to_svg(axes, "Accuracy and forgetting of every learner")


def _place(summary: Summary) -> tuple[float, float]:
    assert summary.forgetting.value is not None and summary.accuracy.value is not None
    return summary.forgetting.value, summary.accuracy.value


def _draw_dot(axes: Axes, summary: Summary, kind: str) -> None:
    x, y = _place(summary)
    colour = colour_of(COLOURS[kind])
    for ends, horizontal in ((_ends(summary.forgetting), True), (_ends(summary.accuracy), False)):
        if ends:
            axes.plot(
                *((ends, (y, y)) if horizontal else ((x, x), ends)),
                color=colour,
                linewidth=1.2,
                alpha=0.55,
                zorder=2,
            )
    axes.plot(
        [x],
        [y],
        MARKERS[kind],
        markersize=6,
        markerfacecolor=colour,
        markeredgecolor=variable("surface"),
        zorder=3,
    )


def _ends(interval: Interval) -> tuple[float, float] | None:
    return None if interval.low is None or interval.high is None else (interval.low, interval.high)


def _write_numbers(axes: Axes, points: dict[int, tuple[float, float]]) -> None:
    """Every number stands beside its dot, where it is farthest from other dots and from numbers
    already written.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    taken = [
        tuple(place * 72 / figure.dpi for place in axes.transData.transform(point))
        for point in points.values()
    ]
    for number, (x, y) in zip(points, list(taken)):
        room = {
            offset: min(_apart((x + offset[0], y + offset[1]), other) for other in taken)
            for offset in OFFSETS
        }
        best = next(
            (offset for offset in OFFSETS if room[offset] >= NEAR),
            max(OFFSETS, key=lambda offset: room[offset]),
        )
        taken.append((x + best[0], y + best[1]))
        axes.annotate(
            str(number),
            points[number],
            best,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=10,
            color=variable("ink"),
        )


def _apart(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))
