"""Curves over a number that a study's grid swept, such as the border's width or the number of
training pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matboard.report.figures import Drawing
from matboard.report.plain_table import PlainTable, gain_cell
from matboard.report.transfer.drawn import Curve, Point, draw_curves
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.views import StudyView
from matboard.results.transfer import (
    Baseline,
    Condition,
    Origin,
    Pooled,
    TransferResults,
)

KEYS = {
    "task.train": "training pictures",
    "prompt.width": "border width, pixels",
    "prompt.resolution": "resolution of the border",
    "lr": "learning rate",
    "steps": "steps",
    "epochs": "epochs",
    "batch_size": "pictures a step",
}
"""What people read for a key of the configuration."""
REFERENCES: tuple[tuple[Baseline, str], ...] = (
    ("full", "the untouched picture"),
    ("shrunk", "the shrunk one"),
)
"""Drawn beside curves of accuracy, dashed and dotted."""


@dataclass(frozen=True)
class Series:
    """One variant over the swept values, in their order."""

    label: str
    steps: tuple[tuple[float, Condition], ...]


def sweeps(results: TransferResults) -> Iterator[StudyView]:
    """A view for every number that was swept."""
    gains = Gains(results)
    for key in _keys(results):
        series = list(_series(results, key))
        across = KEYS.get(key, key)
        drawings: list[Drawing] = []
        tables = []
        for group in gains.groups:
            drawings += _drawings(gains, group, across, series)
            tables.append(_table(gains, group, across, series))
        yield StudyView(
            slug=key.replace(".", "-"),
            title=f"Over {across}",
            words=(
                "Bands and brackets are 95 % intervals over test pictures and seeds; a gain is over"
                " each model’s best baseline, mean over models"
                f"{' and tasks' if len(results.tasks) > 1 else ''}. In panels of accuracy the"
                " untouched picture is dashed and the shrunk one dotted."
            ),
            tables=tuple(tables),
            drawings=tuple(drawings),
        )


def _keys(results: TransferResults) -> list[str]:
    """Keys of the grid with at least two different numbers."""
    values: dict[str, set[float]] = {}
    for origin in _origins(results):
        for key, value in origin.swept.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if len(found) > 1]


def _origins(results: TransferResults) -> Iterator[Origin]:
    for method in results.methods:
        if method.origin is not None:
            yield method.origin


def _series(results: TransferResults, key: str) -> Iterator[Series]:
    """A line for every variant, and for every combination of what else was swept."""
    found: dict[str, list[tuple[float, Condition]]] = {}
    for method in results.methods:
        origin = method.origin
        value = None if origin is None else origin.swept.get(key)
        if origin is None or not isinstance(value, int | float):
            continue
        others = [f"{k} {v}" for k, v in origin.swept.items() if k != key]
        label = ", ".join([_shown(origin, method), *others])
        found.setdefault(label, []).append((float(value), method))
    for label, steps in found.items():
        yield Series(label, tuple(sorted(steps, key=lambda step: step[0])))


def _shown(origin: Origin, method: Condition) -> str:
    """A variant's name, in capitals where it is its method's."""
    return origin.variant.upper() if origin.variant == method.method else origin.variant


def _drawings(
    gains: Gains, group: Pooled, across: str, series: Sequence[Series]
) -> Iterator[Drawing]:
    """Accuracy where it has one metric, then the gain."""
    title = gains.title(group)
    metrics = {cell.metric for cell in gains.results.cells}
    if len(metrics) == 1 and gains.models(group):
        lines = [
            Curve(one.label, colour, tuple(_accuracies(gains, group, one)))
            for colour, one in enumerate(series)
        ]
        lines += _references(gains, group, series)
        yield draw_curves(f"{metrics.pop()}, {title}", across, lines)
    curves = []
    for colour, one in enumerate(series):
        points = []
        for x, method in one.steps:
            gain = gains.of(method, group)
            if gain is not None and gain.value is not None:
                points.append(Point(x, gain.value, gain.low, gain.high))
        curves.append(Curve(one.label, colour, tuple(points)))
    yield draw_curves(f"gain, {title}", across, curves, zero=True)


def _accuracies(gains: Gains, group: Pooled, series: Series) -> Iterator[Point]:
    """Means over models and tasks; of a single cell with its interval."""
    for x, method in series.steps:
        cells = list(gains.values(method, group))
        mean = gains.mean(method, group)
        if mean is not None:
            only = cells[0] if len(cells) == 1 else None
            low = None if only is None else only.low
            high = None if only is None else only.high
            yield Point(x, mean, low, high)


def _references(
    gains: Gains, group: Pooled, series: Sequence[Series]
) -> Iterator[Curve]:
    for kind, label in REFERENCES:
        points = {}
        for one in series:
            for x, method in one.steps:
                baseline = baseline_of(gains.results, method, kind)
                mean = None if baseline is None else gains.mean(baseline, group)
                if mean is not None:
                    points[x] = Point(x, mean)
        if points:
            yield Curve(label, None, tuple(points[x] for x in sorted(points)))


def baseline_of(
    results: TransferResults, method: Condition, kind: Baseline
) -> Condition | None:
    """The baseline of a kind that a method was compared with."""
    for baseline in results.baselines:
        if baseline.baseline == kind and baseline.name in method.compared_with:
            return baseline
    return None


def _table(
    gains: Gains, group: Pooled, across: str, series: Sequence[Series]
) -> PlainTable:
    xs = sorted({x for one in series for x, _ in one.steps})
    rows = []
    for one in series:
        at = dict(one.steps)
        cells = []
        for x in xs:
            method = at.get(x)
            cells.append(gain_cell(None if method is None else gains.of(method, group)))
        rows.append((one.label, tuple(cells)))
    heads = (across, *(f"{x:g}" for x in xs))
    return PlainTable(f"Gain, {gains.title(group)}", heads, tuple(rows))
