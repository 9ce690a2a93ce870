"""Learning curves: what was logged step by step, averaged over bins and drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from matboard.report.figures import (
    WIDTH,
    Drawing,
    colour_of,
    new_axes,
    style,
    to_svg,
    variable,
)
from matboard.results import StepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 60
"""Of a curve at most: guess, about one for every five CSS pixels."""
FAR = 50
"""How many times the smallest loss the largest is where they share no linear axis (guess)."""
TITLES = {
    "loss": "whole loss",
    "task_loss": "task loss",
    "feature_consistency": "feature consistency (FCA)",
    "semantic_enrichment": "semantic enrichment (TSE)",
    "gradient_norms": "gradient norm",
    "gradient_cosines": "cosine between gradients",
}
FIELDS = ("loss", "losses", "gradient_norms", "gradient_cosines", "per_model")
"""Of a logged step that have curves, in the order of the panels."""

Point: TypeAlias = tuple[int, float]
"""A step and a value."""


@dataclass(frozen=True)
class Quantity:
    """Something that is logged at every step.

    Attributes:
        field: of `StepRow`.
        name: which of several the field holds.
        model: whose it is; empty where it is everybody's.
    """

    field: str
    name: str = ""
    model: str = ""

    @property
    def rank(self) -> tuple[int, int, str, str]:
        """Its place among the panels: known names first."""
        known = list(TITLES)
        place = known.index(self.name) if self.name in known else len(known)
        return FIELDS.index(self.field), place, self.name, self.model

    @property
    def title(self) -> str:
        """What a panel of its own is called."""
        own = title_of(self.name)
        if self.model:
            return f"{own}, {self.model}"
        if self.field in ("loss", "losses"):
            return own
        return f"{title_of(self.field)}: {own}"

    @property
    def family(self) -> str:
        """What a panel is called that it shares with others of its kind."""
        if self.model:
            return f"{title_of(self.name)}, each model"
        if self.field in ("loss", "losses"):
            return self.title
        return title_of(self.field)

    @property
    def part(self) -> str:
        """What its line is called in such a panel."""
        return self.model or title_of(self.name)

    @property
    def logarithmic(self) -> bool:
        """Whether it is drawn over a logarithmic axis."""
        return self.field == "gradient_norms" or self.name == "gradient_norm"


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


def title_of(name: str) -> str:
    """What people read for a logged name."""
    words = name.replace("~", " · ")
    return TITLES.get(name, words.replace("_", " "))


def curves(steps: Iterable[StepRow]) -> dict[Quantity, list[Point]]:
    """Every quantity's points by step; what is not finite is left out."""
    found: dict[Quantity, list[Point]] = defaultdict(list)
    for row in sorted(steps, key=lambda row: row.step):
        for quantity, value in _logged(row):
            if value is not None:
                found[quantity].append((row.step, value))
    return dict(found)


def _logged(row: StepRow) -> Iterator[tuple[Quantity, float | None]]:
    yield Quantity("loss", "loss"), row.loss
    for name, value in row.losses.items():
        yield Quantity("losses", name), value
    for name, value in row.gradient_norms.items():
        yield Quantity("gradient_norms", name), value
    for name, value in row.gradient_cosines.items():
        yield Quantity("gradient_cosines", name), value
    for model, quantities in row.per_model.items():
        for name, value in quantities.items():
            yield Quantity("per_model", name, model), value


def binned(points: Sequence[Point]) -> list[Bin]:
    """Means over bins of equally many logged steps, each with all its values.

    Bins are counted from the end. What is left at the start is a bin of its own, or joins the
    next one where it is less than half of one, so that no bin is averaged over much less than
    the others.
    """
    by_step = groupby(points, key=lambda point: point[0])
    steps = [list(group) for _, group in by_step]
    count = len(steps)
    wide = max(1, -(-count // POINTS))
    first = count % wide
    if 2 * first < wide:
        first += wide
    edges = [0, *range(first, count + 1, wide)]
    return [_bin(steps[start:end]) for start, end in pairwise(edges)]


def _bin(steps: Sequence[Sequence[Point]]) -> Bin:
    values = []
    for points in steps:
        values += [value for _, value in points]
    middle = fmean(points[0][0] for points in steps)
    return Bin(middle, fmean(values), min(values), max(values))


def panel_each_quantity(variants: Mapping[str, Sequence[StepRow]]) -> list[Panel]:
    """One panel a quantity, one line a variant over all its seeds; none for a quantity that never
    leaves zero.

    Args:
        variants: every variant of the table in its order, also those without a log: colours are
            those of the table's figures.
    """
    by_quantity: dict[Quantity, list[Line]] = defaultdict(list)
    for colour, (variant, steps) in enumerate(variants.items()):
        for quantity, points in _drawn(steps).items():
            line = Line(variant, colour, tuple(points))
            by_quantity[quantity].append(line)
    panels = []
    for quantity in sorted(by_quantity, key=lambda quantity: quantity.rank):
        lines = by_quantity[quantity]
        if not all(_flat(quantity, line.points) for line in lines):
            panels.append(_panel(quantity, quantity.title, lines, legend=False))
    return panels


def panels_of_one(steps: Sequence[StepRow]) -> list[Panel]:
    """The panels of a single fit: quantities of one kind share one, what stays at zero has none."""
    found = _drawn(steps)
    families: dict[str, list[Quantity]] = defaultdict(list)
    for quantity in sorted(found, key=lambda quantity: quantity.rank):
        if not _flat(quantity, found[quantity]):
            families[quantity.family].append(quantity)
    panels = []
    for title, members in families.items():
        lines = _lines({quantity: found[quantity] for quantity in members})
        panels.append(_panel(members[0], title, lines, legend=len(lines) > 1))
    return panels


def panel_of_losses(title: str, steps: Iterable[StepRow]) -> Panel:
    """The whole loss and its terms in one panel; a loss of one term is that term."""
    found = curves(steps)
    losses = [
        quantity
        for quantity, points in found.items()
        if quantity.field in ("loss", "losses") and not _flat(quantity, points)
    ]
    losses.sort(key=lambda quantity: quantity.rank)
    if len(losses) == 2:
        losses = losses[:1]
    lines = _lines({quantity: found[quantity] for quantity in losses})
    values = [value for line in lines for _, value in line.points]
    smallest = min(values, default=0.0)
    far = smallest > 0 and max(values) > FAR * smallest
    return Panel(title, tuple(lines), logarithmic=far, legend=len(lines) > 1)


def _drawn(steps: Iterable[StepRow]) -> dict[Quantity, list[Point]]:
    """One source model's own curves are the fit's curves: they are drawn from two models on."""
    found = curves(steps)
    models = {quantity.model for quantity in found if quantity.model}
    if len(models) > 1:
        return found
    return {
        quantity: points for quantity, points in found.items() if not quantity.model
    }


def _flat(quantity: Quantity, points: Sequence[Point]) -> bool:
    """Whether it stays at zero and so says nothing; the whole loss always says something."""
    return quantity.field != "loss" and not any(value for _, value in points)


def _lines(found: Mapping[Quantity, Sequence[Point]]) -> list[Line]:
    lines = []
    for colour, (quantity, points) in enumerate(found.items()):
        lines.append(Line(quantity.part, colour, tuple(points)))
    return lines


def _panel(
    quantity: Quantity, title: str, lines: Sequence[Line], *, legend: bool
) -> Panel:
    return Panel(
        title,
        tuple(lines),
        logarithmic=quantity.logarithmic,
        signed=quantity.field == "gradient_cosines",
        legend=legend,
    )


# -- drawing
# --------------------------------------------------------------------------------------------------


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
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y", color=variable("line"), linewidth=0.6)
        legend = {}
        if panel.legend:
            legend = {line.label: line.colour for line in panel.lines}
        return Drawing(panel.title, to_svg(axes, f"{panel.title} over steps"), legend)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    between = (1, 2, 5) if high < 100 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=between))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_line(axes: Axes, line: Line, positive: bool) -> None:
    points = line.points
    if positive:
        points = tuple(point for point in points if point[1] > 0)
    bins = binned(points)
    steps = [each.step for each in bins]
    means = [each.mean for each in bins]
    colour = colour_of(line.colour)
    marker = "." if len(steps) == 1 else None
    axes.plot(steps, means, color=colour, linewidth=1.6, marker=marker)
    if len(points) > len(bins):
        lows = [each.low for each in bins]
        highs = [each.high for each in bins]
        axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, linewidth=0)
