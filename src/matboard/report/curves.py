"""Learning curves: which logged quantities share a panel, and the panels drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matboard.report.run_view import Curve, Key
from matboard.report.svg import WIDTH, Drawing, colour_of, new_axes, style, to_svg, variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 60  # per curve: guess, about one point for every five CSS pixels
TITLES = {
    "loss": "whole loss",
    "task_loss": "task loss",
    "feature_consistency": "feature consistency (FCA)",
    "semantic_enrichment": "semantic enrichment (TSE)",
    "gradient_norm": "gradient norm",
    "gradient_cosine": "cosine between gradients",
}
NOT_DRAWN = ("lr", "skipped", "seconds")


@dataclass(frozen=True)
class Line:
    """One curve of a panel; ``colour`` counts through METHOD_COLOURS."""

    label: str
    colour: int
    curve: Curve


@dataclass(frozen=True)
class Panel:
    """Curves that share axes."""

    title: str
    lines: tuple[Line, ...]
    logarithmic: bool = False
    signed: bool = False
    legend: bool = False


def method_of(run: str) -> str:
    """``"tvp-s0"`` → ``"tvp"``."""
    return re.sub(r"-s\d+$", "", run)


def panels(curves: dict[str, dict[Key, Curve]], methods: Sequence[str]) -> list[Panel]:
    """A single run: quantities of one kind share a panel. A study: one panel a quantity, one line a
    method over all its seeds.
    """
    keys = sorted(
        {key for run in curves.values() for key in run if _is_drawn(key, run)},
        key=lambda key: (_rank(key), key),
    )
    if len(curves) > 1:
        return [
            _panel(key, _words(key), _lines(curves, key, learners(curves, methods))) for key in keys
        ]
    found = next(iter(curves.values()), {})
    families: dict[Key, list[Key]] = {}
    for key in keys:
        families.setdefault(_family(key), []).append(key)
    return [
        _panel(
            family,
            _words(family),
            [Line(_part(key), place, found[key]) for place, key in enumerate(members)],
            legend=len(members) > 1,
        )
        for family, members in families.items()
    ]


def learners(curves: dict[str, dict[Key, Curve]], methods: Sequence[str]) -> dict[str, int]:
    """The methods a study's log speaks of, and their colours: the same as in the table's figures."""
    logged = dict.fromkeys(map(method_of, curves))
    order = list(dict.fromkeys([*methods, *logged]))
    return {method: order.index(method) for method in order if method in logged}


def _lines(curves: dict[str, dict[Key, Curve]], key: Key, colours: dict[str, int]) -> list[Line]:
    merged = (
        (method, colour, over_seeds(curves, key, method)) for method, colour in colours.items()
    )
    return [Line(method, colour, curve) for method, colour, curve in merged if curve.steps]


def over_seeds(curves: dict[str, dict[Key, Curve]], key: Key, method: str) -> Curve:
    """One quantity of one method: the points of all its seeds as one curve."""
    runs = [
        found[key] for run, found in curves.items() if method_of(run) == method and key in found
    ]
    points = sorted(point for curve in runs for point in zip(curve.steps, curve.values))
    return Curve([step for step, _ in points], [value for _, value in points])


def _is_drawn(key: Key, run: dict[Key, Curve]) -> bool:
    """One source model's own curves are the run's curves: they are drawn from two models on."""
    alone = (
        key[0] == "per_model" and len({other[1] for other in run if other[0] == "per_model"}) == 1
    )
    return key[-1] not in NOT_DRAWN and not alone


def _rank(key: Key) -> tuple[int, ...]:
    names = list(TITLES)
    return tuple(names.index(part) if part in names else len(names) for part in key)


def _family(key: Key) -> Key:
    if len(key) == 1:
        return key
    return (key[0], key[-1]) if key[0] == "per_model" else key[:1]


def _part(key: Key) -> str:
    name = key[1] if len(key) > 1 else key[0]
    return name if key[0] == "per_model" else name.replace("~", " · ").replace("_", " ")


def _words(key: Key) -> str:
    head = TITLES.get(key[0], key[0].replace("_", " "))
    if key[0] == "per_model":
        return f"{TITLES.get(key[-1], key[-1])}, {'each model' if len(key) == 2 else key[1]}"
    return f"{head}: {_part(key)}" if len(key) > 1 else head


def _panel(key: Key, title: str, lines: list[Line], legend: bool = False) -> Panel:
    return Panel(
        title,
        tuple(lines),
        logarithmic="gradient_norm" in key,
        signed=key[0] == "gradient_cosine",
        legend=legend,
    )


def draw_panel(panel: Panel) -> Drawing:
    """Means over bins of steps as lines, their range as a band."""
    with style(panel.title):
        axes = new_axes(WIDTH, 220, left=46, bottom=36)
        for line in panel.lines:
            _draw_curve(axes, line, panel.logarithmic)
        if panel.logarithmic:
            _logarithmic(axes)
        if panel.signed:
            axes.set_ylim(-1.05, 1.05)
            axes.axhline(0, color=variable("muted"), linewidth=0.8)
        axes.set_xlabel("step")
        axes.grid(axis="y", color=variable("line"), linewidth=0.6)
        legend = {line.label: line.colour for line in panel.lines} if panel.legend else {}
        return Drawing(panel.title, to_svg(axes, f"{panel.title} over steps"), legend)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_curve(axes: Axes, line: Line, positive: bool) -> None:
    import numpy as np

    pairs = [(s, v) for s, v in zip(line.curve.steps, line.curve.values) if v > 0 or not positive]
    bins = [
        chunk
        for chunk in np.array_split(np.array(pairs), min(POINTS, max(1, len(pairs))))
        if len(chunk)
    ]
    steps, values = [b[:, 0].mean() for b in bins], [b[:, 1] for b in bins]
    colour = colour_of(line.colour)
    axes.plot(
        steps,
        [v.mean() for v in values],
        color=colour,
        linewidth=1.6,
        marker="." if len(steps) == 1 else None,
    )
    if len(pairs) > len(bins):
        axes.fill_between(
            steps,
            [v.min() for v in values],
            [v.max() for v in values],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
