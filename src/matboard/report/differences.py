"""Paired differences as dots with intervals, one panel a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matboard.report.results import Condition, Difference, Group, Results
from matboard.report.svg import WIDTH, Drawing, colour_of, new_axes, style, to_svg, variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
LABEL = 20  # longest model name that fits; the table has it whole
GROUP_WORDS: dict[Group, str] = {
    "source": "source",
    "same": "same encoder",
    "other": "another encoder",
}
DOT, GAP, HEAD = (
    9,
    12,
    20,
)  # heights in CSS pixels: a method's line, the space between models, a group's name


@dataclass(frozen=True)
class Place:
    """Where a model's dots stand: its name and the height of its middle, counted downwards."""

    model: str
    y: float


@dataclass(frozen=True)
class Layout:
    """Heights of everything in a panel, counted downwards in CSS pixels."""

    places: tuple[Place, ...]
    heads: dict[str, float]
    height: float


def draw_differences(results: Results, task: str, scorer: str) -> list[Drawing]:
    """Every method minus every baseline on one task: a dot, a bar for 95 %, hollow where undecided.
    All panels share one scale.
    """
    methods = {method.name for method in results.methods}
    cells = [
        cell
        for cell in results.cells
        if cell.task == task and cell.scorer == scorer and cell.condition in methods
    ]
    compared = [
        (name, d) for cell in cells for name, d in cell.versus.items() if d and d.value is not None
    ]
    ends = [0.0, *(x for _, d in compared for x in (d.value, d.low, d.high) if x is not None)]
    room = 0.05 * (max(ends) - min(ends)) or 0.05
    limits = min(ends) - room, max(ends) + room
    measured = {name for name, _ in compared}
    return [
        _draw_panel(results, task, scorer, baseline, limits)
        for baseline in results.baselines
        if baseline.name in measured
    ]


def _draw_panel(
    results: Results, task: str, scorer: str, baseline: Condition, limits: tuple[float, float]
) -> Drawing:
    title = f"against {baseline.title}"
    cells, layout = results.by_place(scorer), _layout(results)
    with style(task + scorer + baseline.name):
        axes = new_axes(WIDTH, layout.height + 44, left=126, bottom=36)
        for place in layout.places:
            for index, method in enumerate(results.methods):
                cell = cells.get((place.model, task, method.name))
                y = place.y + DOT * (index - (len(results.methods) - 1) / 2)
                _draw_dot(axes, cell.against(baseline.name) if cell else None, y, index)
        for words, y in layout.heads.items():
            axes.text(
                -0.02,
                y,
                words,
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                color=variable("muted"),
            )
        _dress(axes, layout, limits)
        return Drawing(title, to_svg(axes, f"Paired differences on {task} {title}"))


def _layout(results: Results) -> Layout:
    places, heads, y = [], {}, 0.0
    tall = DOT * max(2, len(results.methods)) + GAP
    for group, words in GROUP_WORDS.items():
        if results.group(group):
            heads[words if results.source_measured else "targets"] = y + HEAD / 2
            y += HEAD
        for model in results.group(group):
            places.append(Place(model.name, y + tall / 2))
            y += tall
    return Layout(tuple(places), heads, y)


def _dress(axes: Axes, layout: Layout, limits: tuple[float, float]) -> None:
    axes.axvline(0, color=variable("muted"), linewidth=1, zorder=1)
    axes.grid(axis="x", color=variable("line"), linewidth=0.6)
    axes.set(xlim=limits, ylim=(layout.height, 0), xlabel="← worse · better →")
    axes.set_yticks(
        [place.y for place in layout.places], [_short(place.model) for place in layout.places]
    )
    axes.tick_params(axis="y", length=0, labelcolor=variable("ink"))
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(
        lambda x, _: f"{x:+.2f}".replace("-", "−") if abs(x) > 1e-9 else "0"
    )


def _draw_dot(axes: Axes, difference: Difference | None, y: float, index: int) -> None:
    if difference is None or difference.value is None:
        return
    colour = colour_of(index)
    if difference.low is not None and difference.high is not None:
        axes.plot(
            [difference.low, difference.high],
            [y, y],
            color=colour,
            linewidth=1.6,
            solid_capstyle="round",
            zorder=2,
        )
    face = variable("surface") if difference.decision == "undecided" else colour
    marker = MARKERS[index % len(MARKERS)]
    axes.plot(
        [difference.value],
        [y],
        marker,
        markersize=5.5,
        markerfacecolor=face,
        markeredgecolor=colour,
        markeredgewidth=1.4,
        zorder=3,
    )


def _short(name: str) -> str:
    name = name.rstrip("/").rsplit("/", 1)[-1]
    return name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"
