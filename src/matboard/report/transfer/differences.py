"""Paired differences as dots with intervals, one panel a reference."""

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
from matboard.report.transfer.references import WORDS, Comparison, Reference
from matboard.report.words import signed
from matboard.results.parts import Difference
from matboard.results.transfer import GROUPS, Group, TransferResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
LABEL = 20  # longest model name that fits; the table has it whole
GROUP_WORDS: dict[Group, str] = {
    "source": "source",
    "same": "same encoder",
    "other": "another encoder",
    "unknown": "encoder not known",
}
DOT = 9
"""Height of a method's line in CSS pixels."""
GAP = 12
"""Between models."""
HEAD = 20
"""Of a group's name."""


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


def draw_differences(comparison: Comparison, task: str) -> list[Drawing]:
    """Every method minus each reference on one task: a dot, a bar for 95 %, hollow where undecided.
    All panels share one scale.
    """
    shown: list[Reference] = []
    ends = [0.0]
    for reference in comparison.references:
        for cell in comparison.learned:
            difference = comparison.against(cell, reference)
            if cell.task == task and difference is not None:
                shown.append(reference)
                ends += _ends(difference)
    low = min(ends)
    high = max(ends)
    room = 0.05 * (high - low) or 0.05
    limits = (low - room, high + room)
    references = dict.fromkeys(shown)
    return [
        _draw_panel(comparison, task, reference, limits) for reference in references
    ]


def _ends(difference: Difference) -> list[float]:
    """What a dot and its bar reach to."""
    ends = (difference.value, difference.low, difference.high)
    return [end for end in ends if end is not None]


def _draw_panel(
    comparison: Comparison, task: str, reference: Reference, limits: tuple[float, float]
) -> Drawing:
    title = f"against {WORDS[reference]}"
    methods = comparison.results.methods
    layout = _layout(comparison.results)
    with style(task + comparison.scorer + reference):
        axes = new_axes(WIDTH, layout.height + 44, left=126, bottom=36)
        for place in layout.places:
            for index, method in enumerate(methods):
                cell = comparison.cell(place.model, task, method)
                y = place.y + DOT * (index - (len(methods) - 1) / 2)
                _draw_dot(axes, comparison.against(cell, reference), y, index)
        _write_heads(axes, layout)
        _dress(axes, layout, limits)
        return Drawing(title, to_svg(axes, f"Paired differences on {task} {title}"))


def _layout(results: TransferResults) -> Layout:
    tall = DOT * max(2, len(results.methods)) + GAP
    places = []
    heads = {}
    y = 0.0
    for group in GROUPS:
        models = results.group(group)
        if models:
            heads[GROUP_WORDS[group]] = y + HEAD / 2
            y += HEAD
        for model in models:
            places.append(Place(model.name, y + tall / 2))
            y += tall
    return Layout(tuple(places), heads, y)


def _write_heads(axes: Axes, layout: Layout) -> None:
    beside = axes.get_yaxis_transform()
    muted = variable("muted")
    for words, y in layout.heads.items():
        axes.text(
            -0.02, y, words, transform=beside, ha="right", va="center", color=muted
        )


def _dress(axes: Axes, layout: Layout, limits: tuple[float, float]) -> None:
    axes.axvline(0, color=variable("muted"), linewidth=1, zorder=1)
    axes.grid(axis="x", color=variable("line"), linewidth=0.6)
    axes.set(xlim=limits, ylim=(layout.height, 0), xlabel="← worse · better →")
    heights = [place.y for place in layout.places]
    axes.set_yticks(heights, _labels([place.model for place in layout.places]))
    axes.tick_params(axis="y", length=0, labelcolor=variable("ink"))
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: "0" if abs(x) < 1e-9 else signed(x, 2))


def _draw_dot(axes: Axes, difference: Difference | None, y: float, index: int) -> None:
    if difference is None or difference.value is None:
        return
    colour = colour_of(index)
    low = difference.low
    high = difference.high
    if low is not None and high is not None:
        axes.hlines(
            y, low, high, color=colour, linewidth=1.6, capstyle="round", zorder=2
        )
    hollow = difference.decision == "undecided"
    axes.plot(
        [difference.value],
        [y],
        MARKERS[index % len(MARKERS)],
        markersize=5.5,
        markerfacecolor=variable("surface") if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.4,
        zorder=3,
    )


def _labels(names: Sequence[str]) -> list[str]:
    """Names that fit: of paths and ids only the end, where the ends tell them apart."""
    ends = [name.rstrip("/").rpartition("/")[2] for name in names]
    labels = ends if len(set(ends)) == len(names) else names
    return [
        label if len(label) <= LABEL else f"…{label[1 - LABEL :]}" for label in labels
    ]
