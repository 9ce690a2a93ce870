"""Results as HTML tables for a notebook."""

from __future__ import annotations

from matboard.notebooks import escaped, noted, table
from matboard.results.parts import Decision, Interval
from matboard.results.stream import StreamResults
from matboard.results.transfer import Cell, Scorer, TransferResults, best_baseline

MARKS: dict[Decision, str] = {"better": " ▲", "worse": " ▼", "undecided": ""}
GROUPS = {
    "source": "source",
    "same": "the source’s eye",
    "other": "another eye",
    "unknown": "eye not known",
}
AGAINST = "▲ better, ▼ worse than {what} (paired, 95 %)"


def transfer_html(results: TransferResults) -> str:
    """A table for each task and scorer: models × conditions, with 95 % intervals."""
    if not results.cells:
        return "<p>Nothing was measured.</p>"
    parts = [
        _block(results, task.name, scorer)
        for task in results.tasks
        for scorer in results.scorers
    ]
    said = AGAINST.format(what="that model’s best baseline")
    return f"{''.join(parts)}<p>95 % intervals below · {said}</p>"


def _block(results: TransferResults, task: str, scorer: Scorer) -> str:
    cells = results.by_place(scorer)
    baselines = {condition.name for condition in results.baselines}
    rows = []
    metrics = set()
    for model in results.models:
        row = [noted(model.name, GROUPS[model.group])]
        for condition in results.conditions:
            cell = cells.get((model.name, task, condition.name))
            learned = cell is not None and condition.role != "baseline"
            best = best_baseline(cell, cells, baselines) if cell and learned else None
            row.append(_cell(cell, best))
            metrics |= {cell.metric} if cell else set()
        rows.append(row)
    count = next(facts.n for facts in results.tasks if facts.name == task)
    caption = f"{task}: {', '.join(sorted(metrics))} by {scorer}, {count} test samples"
    labels = [condition.label for condition in results.conditions]
    return table(caption, ["model", *labels], rows)


def _cell(cell: Cell | None, best: str | None) -> str:
    if cell is None or cell.value is None:
        return "–"
    mark = MARKS[cell.versus[best].decision] if best else ""
    return noted(f"{cell.value:.3f}{mark}", _interval(cell.low, cell.high))


def stream_html(results: StreamResults) -> str:
    """A table of learners: accuracy and forgetting, with 95 % intervals."""
    summaries = {summary.learner: summary for summary in results.summary}
    rows = []
    for learner in results.learners:
        summary = summaries[learner.name]
        against = summary.against
        accuracy = against.accuracy.decision if against else "undecided"
        forgets = against.forgetting.turned.decision if against else "undecided"
        row = [
            noted(learner.name, learner.kind),
            _measured(summary.accuracy, accuracy),
            _measured(summary.forgetting, forgets),
            _measured(summary.average_incremental_accuracy, "undecided"),
        ]
        rows.append(row)
    stream = results.stream
    caption = f"{stream.name}: {stream.tasks} tasks, {len(stream.classes)} classes"
    heads = ["learner", "accuracy", "forgetting", "average incremental accuracy"]
    said = AGAINST.format(what=escaped(results.reference))
    return f"{table(caption, heads, rows)}<p>95 % intervals below · {said}</p>"


def _measured(interval: Interval, decision: Decision) -> str:
    if interval.value is None:
        return "–"
    value = f"{interval.value:.3f}{MARKS[decision]}"
    return noted(value, _interval(interval.low, interval.high))


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "too few samples"
    return f"{low:.2f}–{high:.2f}"
