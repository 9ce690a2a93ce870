"""The transfer table for a README: means of each group of models, and what each method gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from matboard.report.transfer.pooled import gained, unparsable
from matboard.report.words import MARKS, fixed, plural
from matboard.results.transfer import (
    GROUPS,
    Cell,
    Condition,
    Contrast,
    Group,
    Scorer,
    TransferResults,
)

ROWS: dict[Group, str] = {
    "source": "source",
    "same": "unseen, with the source’s eye",
    "other": "unseen, with another eye",
    "unknown": "unseen, eye not known",
}


def transfer_table_markdown(results: TransferResults) -> str:
    """A table of means: a line a group of models and scorer, a column a condition.

    Under each method's mean stands its gain over each model's best baseline with its interval (see
    `Contrast`), marked where it is decided.
    """
    shown = [*results.baselines, *results.methods, *results.bounds]
    head = ["mean", *(condition.label for condition in shown)]
    lines = [_line(head), _line(["---"] * len(head))]
    for group in GROUPS:
        for scorer in results.scorers:
            cells = [_cell(results, group, scorer, one) for one in shown]
            if any(cells):
                lines.append(_line([_row(results, group, scorer), *cells]))
    return "\n".join([*lines, "", _caption(results)])


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _row(results: TransferResults, group: Group, scorer: Scorer) -> str:
    models = plural(len(results.group(group)), "model")
    by = f", by {scorer}" if len(results.scorers) > 1 else ""
    return f"{ROWS[group]} ({models}){by}"


def _cell(
    results: TransferResults, group: Group, scorer: Scorer, condition: Condition
) -> str:
    """Mean over models and tasks; empty where nothing was measured."""
    cells = list(_cells(results, group, scorer, condition))
    values = [cell.value for cell in cells if cell.value is not None]
    if not values:
        return ""
    parts = [fixed(fmean(values))]
    shares = [cell.unparsable for cell in cells if cell.unparsable is not None]
    if shares and (said := unparsable(fmean(shares))):
        parts.append(said)
    contrast = _contrast(results, group, scorer, condition)
    if contrast is not None:
        mark = MARKS[contrast.difference.decision]
        parts.append(f"{gained(contrast.difference)} {mark}".rstrip())
        if contrast.models < len(results.group(group)):
            parts.append(f"of {plural(contrast.models, 'model')}")
    return "<br>".join(parts)


def _cells(
    results: TransferResults, group: Group, scorer: Scorer, condition: Condition
) -> Iterator[Cell]:
    models = {model.name for model in results.group(group)}
    for cell in results.cells:
        own = cell.scorer == scorer and cell.condition == condition.name
        if own and cell.model in models:
            yield cell


def _contrast(
    results: TransferResults, group: Group, scorer: Scorer, condition: Condition
) -> Contrast | None:
    """The gain over the best baselines over all tasks."""
    for one in results.contrasts:
        kind = (one.group, one.scorer, one.method, one.against, one.task)
        if kind == (group, scorer, condition.name, None, None):
            return one
    return None


def _caption(results: TransferResults) -> str:
    """What the numbers are, how many samples and seeds stand behind them, and what marks mean."""
    metrics = dict.fromkeys(cell.metric for cell in results.cells)
    seeds = max((len(one.seeds) for one in results.methods), default=0)
    samples = sorted({task.n for task in results.tasks})
    counts = " to ".join(str(n) for n in dict.fromkeys([samples[0], samples[-1]]))
    alone = " (what is learned on a model itself: one seed)" if results.bounds else ""
    return (
        f"{' and '.join(metrics).capitalize()}, mean over models and"
        f" {plural(len(results.tasks), 'task')} of {counts} test samples, {plural(seeds, 'seed')}"
        f"{alone}. Below: the gain over each model’s best baseline, chosen on these same samples,"
        " with its 95 % interval over samples and seeds; ▲ and ▼ are decided."
    )
