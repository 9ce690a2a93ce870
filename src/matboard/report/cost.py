"""Costs beside each other: what every way of adapting a model learns, takes and leaves (arXiv
2404.11207, Tab. 5).
"""

from __future__ import annotations

from matboard.report.dots import Quantity, draw_quantities
from matboard.report.figures import Drawing
from matboard.report.plain_table import PlainTable, Said
from matboard.report.transfer.views import StudyView
from matboard.report.words import join, percent, plural, size
from matboard.results.cost import CostResults


def cost_lead(results: CostResults) -> str:
    """What every way comes to."""
    kept = [f"{one.name} {size(one.kept_for_all)}" for one in results.costs]
    times = [f"{one.seconds:.3f} s" for one in results.costs]
    return (
        f"On {results.model} with {results.weights:,} weights, what is kept for"
        f" {plural(results.models, 'model')}: {join(kept)}. A step of each takes {join(times)}."
    )


def cost_view(results: CostResults) -> StudyView:
    """The table, and a figure for each of its quantities."""
    words = (
        f"{results.model}, {plural(results.batch, 'picture')} a step, medians of"
        f" {plural(results.rounds, 'step')} taken in turns on one {results.device} with"
        f" {plural(results.threads, 'thread')}, torch {results.torch}. In the figures a line goes"
        " from the fastest step to the slowest; axes are logarithmic."
    )
    title = "What a border costs beside other ways"
    return StudyView("cost", title, words, (cost_table(results),), _drawings(results))


def cost_table(results: CostResults) -> PlainTable:
    """A row a way."""
    heads = (
        "way",
        "trainable",
        "of the model",
        "a step",
        "in the border's steps",
        "a step's memory",
        "optimiser",
        "kept",
        f"kept for {plural(results.models, 'model')}",
    )
    rows = []
    for cost in results.costs:
        words = (
            f"{cost.trainable:,}",
            percent(cost.share),
            f"{cost.seconds:.3f} s",
            f"{cost.over_border:.2f}",
            size(cost.memory),
            size(cost.optimiser),
            size(cost.kept),
            size(cost.kept_for_all),
        )
        cells = [Said(word) for word in words]
        cells[2] = Said(words[2], f"{cost.fastest:.3f} to {cost.slowest:.3f}")
        rows.append((cost.name, tuple(cells)))
    return PlainTable("Costs", heads, tuple(rows))


def cost_rows(results: CostResults) -> list[dict[str, object]]:
    """A row a way, in seconds and bytes."""
    return [cost.model_dump() for cost in results.costs]


def _drawings(results: CostResults) -> tuple[Drawing, ...]:
    costs = results.costs
    held = [Quantity(one.name, one.memory + one.optimiser) for one in costs]
    kept = [Quantity(one.name, one.kept_for_all) for one in costs]
    times = [Quantity(one.name, one.seconds, one.fastest, one.slowest) for one in costs]
    learned = [Quantity(one.name, one.trainable) for one in costs]
    return (
        draw_quantities("trainable numbers", learned, _count),
        draw_quantities("time of a step", times, lambda value: f"{value:.3g} s"),
        draw_quantities("memory of a step and its optimiser", held, size),
        draw_quantities(f"kept for {plural(results.models, 'model')}", kept, size),
    )


def _count(value: float) -> str:
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {sign}"
    return f"{value:.3g}"
