"""Methods by the models that they were learned on, ensembles among them, as the paper's Tab. 1 has
them: a line a prompt, a column a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from matboard.report.plain_table import PlainTable, Said, gain_cell
from matboard.report.transfer.drawn import Matrix, draw_gains, draw_matrix
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.views import StudyView
from matboard.report.words import fixed, join, signed
from matboard.results.transfer import Cell, Condition, Model, TransferResults

TAUGHT = "†"


def by_source(results: TransferResults) -> Iterator[StudyView]:
    """A view where prompts were learned on different models."""
    learned = {_sources(method) for method in results.methods}
    if len(learned) < 2 or () in learned:
        return
    gains = Gains(results)
    methods = _ordered(results.methods)
    untaught = [(method.label, gains.of(method, "untaught")) for method in methods]
    columns = [gains.of(method, "untaught") for method in methods]
    rows = [
        (_row(baseline), (*_values(gains, baseline), Said()))
        for baseline in results.baselines
    ]
    for method, gain in zip(methods, columns, strict=True):
        rows.append((_row(method), (*_values(gains, method), gain_cell(gain))))
    heads = ("learned on: method", *(model.name for model in results.models))
    table = PlainTable(
        "Means over tasks, and gains over each model’s best baseline below",
        (*heads, "gain, models it was not learned on"),
        tuple(rows),
        note=f"{TAUGHT} learned on this model.",
    )
    matrix = Matrix(
        tuple(method.label for method in methods),
        tuple(model.name for model in results.models),
        tuple(
            tuple(_gain(gains, method, model) for model in results.models)
            for method in methods
        ),
    )
    yield StudyView(
        slug="sources",
        title="Who was learned on",
        words=(
            "A line a prompt, a column a model; several models in front of a method are an"
            " ensemble. The last column, with its 95 % interval, leaves out what a prompt was"
            " learned on."
        ),
        tables=(table,),
        drawings=(
            draw_matrix("gain over the best baseline", matrix),
            draw_gains("gain, models it was not learned on", untaught),
        ),
    )


def _sources(method: Condition) -> tuple[str, ...]:
    return () if method.origin is None else method.origin.sources


def _ordered(methods: Sequence[Condition]) -> list[Condition]:
    """Single sources first, ensembles last, each in the study's order."""
    order = list(dict.fromkeys(_sources(method) for method in methods))
    order.sort(key=len)
    return sorted(methods, key=lambda method: order.index(_sources(method)))


def _row(condition: Condition) -> str:
    sources = _sources(condition)
    return f"{join(sources)}: {condition.label}" if sources else condition.label


def _values(gains: Gains, condition: Condition) -> Iterator[Said]:
    for model in gains.results.models:
        values = [cell.value for cell in _cells(gains, condition, model)]
        known = [value for value in values if value is not None]
        mark = f" {TAUGHT}" if model.name in _sources(condition) else ""
        gain = _gain(gains, condition, model)
        said = "–" if not known else f"{fixed(fmean(known))}{mark}"
        yield Said(said, "" if gain is None else f"({signed(gain)})")


def _gain(gains: Gains, condition: Condition, model: Model) -> float | None:
    """Mean over tasks of what is gained over the best baseline there; None of a baseline."""
    found = []
    at = gains.results.by_place(gains.scorer)
    for cell in _cells(gains, condition, model):
        others = [at.get((cell.model, cell.task, n)) for n in condition.compared_with]
        known = [one.value for one in others if one and one.value is not None]
        if known and cell.value is not None and condition.role != "baseline":
            found.append(cell.value - max(known))
    return fmean(found) if found else None


def _cells(gains: Gains, condition: Condition, model: Model) -> Iterator[Cell]:
    for cell in gains.results.cells:
        place = (cell.model, cell.condition, cell.scorer)
        if place == (model.name, condition.name, gains.scorer):
            yield cell
