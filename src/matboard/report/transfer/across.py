"""Prompts learned on one task and judged on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matboard.report.plain_table import PlainTable, Said, gain_cell
from matboard.report.transfer.drawn import Matrix, draw_matrix
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.views import StudyView
from matboard.results.transfer import Condition, Pooled, TransferResults

OWN = "◦"


def across(results: TransferResults) -> Iterator[StudyView]:
    """A view where prompts were learned on different tasks and each judged on several."""
    methods = [method for method in results.methods if _task(method)]
    if len({_task(method) for method in methods}) < 2 or len(results.tasks) < 2:
        return
    gains = Gains(results)
    methods.sort(key=lambda method: method.method or "")
    tables = []
    drawings = []
    for group in gains.groups:
        title = f"Gain, {gains.title(group)}"
        tables.append(_table(gains, group, methods, title))
        matrix = Matrix(
            tuple(map(_row, methods)),
            tuple(task.name for task in results.tasks),
            tuple(
                tuple(_value(gains, method, group, task.name) for task in results.tasks)
                for method in methods
            ),
        )
        drawings.append(draw_matrix(title, matrix))
    yield StudyView(
        slug="across",
        title="Learned on one task, judged on others",
        words=(
            "A line a prompt and what it was learned on, a column what it was judged on: the gain"
            f" over each model’s best baseline, with its 95 % interval. {OWN} marks a prompt’s own"
            " task."
        ),
        tables=tuple(tables),
        drawings=tuple(drawings),
    )


def _task(method: Condition) -> str | None:
    return None if method.origin is None else method.origin.task


def _row(method: Condition) -> str:
    origin = method.origin
    assert origin is not None
    same = origin.variant == method.method
    return f"{origin.variant.upper() if same else origin.variant} on {origin.task}"


def _table(
    gains: Gains, group: Pooled, methods: Sequence[Condition], title: str
) -> PlainTable:
    tasks = [task.name for task in gains.results.tasks]
    rows = []
    for method in methods:
        cells = []
        for task in tasks:
            cell = gain_cell(gains.of(method, group, task))
            if task == _task(method):
                cell = Said(f"{cell.words} {OWN}", cell.below, cell.decision)
            cells.append(cell)
        rows.append((_row(method), tuple(cells)))
    return PlainTable(title, ("learned on", *tasks), tuple(rows))


def _value(gains: Gains, method: Condition, group: Pooled, task: str) -> float | None:
    found = gains.of(method, group, task)
    return None if found is None else found.value
