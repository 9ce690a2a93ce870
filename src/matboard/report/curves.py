"""Learning curves: what was logged step by step, averaged over bins and drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from matboard.report.figures import WIDTH, Drawing, colour_of, new_axes, style, to_svg, variable
from matboard.results import StepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 60  # per curve: guess, about one point for every five CSS pixels
TITLES = {
    "loss": "whole loss",
    "task_loss": "task loss",
    "feature_consistency": "feature consistency (FCA)",
    "semantic_enrichment": "semantic enrichment (TSE)",
    "gradient_norms": "gradient norm",
    "gradient_cosines": "cosine between gradients",
}

Key: TypeAlias = tuple[str, ...]
"""A field of `StepRow`, and below it the names that it maps."""
Point: TypeAlias = tuple[int, float]
"""A step and a value."""


@dataclass(frozen=True)
class Line:
    """One curve of a panel; ``colour`` counts through METHOD_COLOURS."""

    label: str
    colour: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """Curves that share axes."""

    title: str
    lines: tuple[Line, ...]
    logarithmic: bool = False
    signed: bool = False
    legend: bool = False


@dataclass(frozen=True)
class Bin:
    """Neighbouring steps: where they stand, and the mean and range of their values."""

    step: float
    mean: float
    low: float
    high: float


def curves(steps: Iterable[StepRow]) -> dict[Key, list[Point]]:
    """Quantity → its points by step; what is not finite is left out."""
    found: dict[Key, list[Point]] = defaultdict(list)
    for row in sorted(steps, key=lambda row: row.step):
        for key, value in _quantities(row):
            if value is not None:
                found[key].append((row.step, value))
    return dict(found)


def _quantities(row: StepRow) -> Iterator[tuple[Key, float | None]]:
    yield ("loss",), row.loss
    for field in ("losses", "gradient_norms", "gradient_cosines"):
        for name, value in getattr(row, field).items():
            yield (field, name), value
    for model, quantities in row.per_model.items():
        for name, value in quantities.items():
            yield ("per_model", model, name), value


def binned(points: Sequence[Point]) -> list[Bin]:
    """Means over bins of equally many logged steps, each with all its values.

    Bins are counted from the end. What is left at the start is a bin of its own, or joins the
    next one where it is less than half of one, so that no bin is averaged over much less than
    the others.
    """
    by_step = [list(group) for _, group in groupby(points, key=lambda point: point[0])]
    wide = -(-len(by_step) // POINTS) or 1
    first = len(by_step) % wide
    if 2 * first < wide and len(by_step) > wide:
        first += wide
    edges = [0, *range(first or wide, len(by_step) + 1, wide)]
    return [_bin(by_step[start:end]) for start, end in pairwise(edges)]


def _bin(steps: Sequence[Sequence[Point]]) -> Bin:
    values = [value for points in steps for _, value in points]
    middle = fmean(points[0][0] for points in steps)
    return Bin(middle, fmean(values), min(values), max(values))


def panel_each_quantity(variants: Mapping[str, Sequence[StepRow]]) -> list[Panel]:
    """One panel a quantity, one line a variant over all its seeds.

    Args:
        variants: every variant of the table in its order, also those without a log: colours are
            those of the table's figures.
    """
    found = {variant: curves(steps) for variant, steps in variants.items()}
    keys = {key for drawn in found.values() for key in drawn if _is_drawn(key, drawn)}
    panels = []
    for key in sorted(keys, key=_rank):
        lines = [
            Line(variant, colour, tuple(drawn[key]))
            for colour, (variant, drawn) in enumerate(found.items())
            if key in drawn
        ]
        panels.append(_panel(key, _words(key), lines))
    return panels


def panels_of_one(steps: Sequence[StepRow]) -> list[Panel]:
    """The panels of a single fit: quantities of one kind share one."""
    found = curves(steps)
    keys = [key for key in sorted(found, key=_rank) if _is_drawn(key, found)]
    families: dict[Key, list[Key]] = defaultdict(list)
    for key in keys:
        families[_family(key)].append(key)
    panels = []
    for family, members in families.items():
        lines = [Line(_part(key), place, tuple(found[key])) for place, key in enumerate(members)]
        panels.append(_panel(family, _words(family), lines, legend=len(members) > 1))
    return panels


def panel_of_losses(title: str, steps: Iterable[StepRow]) -> Panel:
    """The whole loss and its terms in one panel; a loss of one term is that term."""
    found = curves(steps)
    keys = [key for key in sorted(found, key=_rank) if key[0] in ("loss", "losses")]
    if len(keys) == 2:
        keys = keys[:1]
    lines = [Line(_part(key), place, tuple(found[key])) for place, key in enumerate(keys)]
    return Panel(title, tuple(lines), legend=len(lines) > 1)


def _is_drawn(key: Key, found: Mapping[Key, list[Point]]) -> bool:
    """One source model's own curves are the fit's curves: they are drawn from two models on."""
    models = {other[1] for other in found if other[0] == "per_model"}
    return key[0] != "per_model" or len(models) > 1


def _rank(key: Key) -> tuple[tuple[int, ...], Key]:
    names = ["loss", "losses", *TITLES]
    places = (names.index(part) if part in names else len(names) for part in key)
    return tuple(places), key


def _family(key: Key) -> Key:
    if key[0] == "per_model":
        return (key[0], key[-1])
    return key if key[0] == "losses" else key[:1]


def _part(key: Key) -> str:
    """What a line is called in its panel's legend."""
    if key[0] == "per_model":
        return key[1]
    return _title(key[-1])


def _words(key: Key) -> str:
    """What a panel is called."""
    if key[0] == "per_model":
        whose = "each model" if len(key) == 2 else key[1]
        return f"{_title(key[-1])}, {whose}"
    if key[0] == "losses" or len(key) == 1:
        return _title(key[-1])
    return f"{_title(key[0])}: {_title(key[1])}"


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("~", " · ").replace("_", " "))


def _panel(key: Key, title: str, lines: Sequence[Line], legend: bool = False) -> Panel:
    return Panel(
        title,
        tuple(lines),
        logarithmic=key[0] == "gradient_norms" or key[-1] == "gradient_norm",
        signed=key[0] == "gradient_cosines",
        legend=legend,
    )


def draw_panel(panel: Panel) -> Drawing:
    """Means over bins of steps as lines, their range as a band."""
    with style(panel.title):
        axes = new_axes(WIDTH, 220, left=46, bottom=36)
        for line in panel.lines:
            _draw_line(axes, line, panel.logarithmic)
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


def _draw_line(axes: Axes, line: Line, positive: bool) -> None:
    points = [point for point in line.points if point[1] > 0 or not positive]
    bins = binned(points)
    steps = [each.step for each in bins]
    colour = colour_of(line.colour)
    marker = "." if len(steps) == 1 else None
    axes.plot(steps, [each.mean for each in bins], color=colour, linewidth=1.6, marker=marker)
    if len(points) > len(bins):
        lows = [each.low for each in bins]
        highs = [each.high for each in bins]
        axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, linewidth=0)
