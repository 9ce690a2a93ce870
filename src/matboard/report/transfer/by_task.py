"""Several tasks, each with prompts of its own: what every method gains on each."""

from __future__ import annotations

from collections.abc import Iterator

from matboard.report.plain_table import PlainTable, gain_cell
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.views import StudyView
from matboard.results.transfer import Pooled, TransferResults


def by_task(results: TransferResults) -> Iterator[StudyView]:
    """A view where prompts were learned and judged task by task."""
    learned_apart = all(
        method.origin is not None and method.origin.task is None
        for method in results.methods
    )
    if len(results.tasks) < 2 or not results.methods or not learned_apart:
        return
    gains = Gains(results)
    yield StudyView(
        slug="tasks",
        title="Task by task",
        words=(
            "A line a task, whose prompts were learned on it: the gain over each model’s best"
            " baseline, with its 95 % interval."
        ),
        tables=tuple(_table(gains, group) for group in gains.groups),
    )


def _table(gains: Gains, group: Pooled) -> PlainTable:
    methods = gains.results.methods
    rows = []
    for task in gains.results.tasks:
        cells = [gain_cell(gains.of(method, group, task.name)) for method in methods]
        rows.append((task.name, tuple(cells)))
    title = f"Gain, {gains.title(group)}"
    return PlainTable(title, ("task", *(one.label for one in methods)), tuple(rows))
