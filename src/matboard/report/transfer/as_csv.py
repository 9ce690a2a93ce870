"""The transfer table as CSV."""

from __future__ import annotations

import csv
import io

from matboard.report.transfer.references import Comparison
from matboard.results.parts import Difference
from matboard.results.transfer import Cell, TransferResults

PARTS = ("value", "low", "high")
FIXED = (
    "task",
    "metric",
    "model",
    "group",
    "condition",
    "role",
    "baseline",
    "method",
    "geometry",
    "scorer",
    "n",
    *PARTS,
    "seeds",
    "unparsable",
    "unanswered",
    "also",
    "failed",
    "best_baseline",
)


def transfer_table_csv(results: TransferResults) -> str:
    """One line a cell, with its interval, seeds and paired differences to every condition that it
    was compared with; numbers as in ``results.json``, nothing rounded. A task's other metrics
    stand in one column, as ``accuracy=0.5 yes-rate=0.25``.
    """
    others = list(dict.fromkeys(name for cell in results.cells for name in cell.versus))
    comparisons = {scorer: Comparison(results, scorer) for scorer in results.scorers}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"versus_{other}_{part}" for other in others for part in PARTS]
    writer.writerow([*FIXED, *heads])
    for cell in results.cells:
        line = _facts(results, cell)
        line.append(comparisons[cell.scorer].best(cell))
        for other in others:
            difference = cell.versus.get(other, Difference())
            line += [difference.value, difference.low, difference.high]
        writer.writerow(line)
    return out.getvalue()


def _facts(results: TransferResults, cell: Cell) -> list[object]:
    condition = results.condition(cell.condition)
    group = next(model.group for model in results.models if model.name == cell.model)
    return [
        cell.task,
        cell.metric,
        cell.model,
        group,
        cell.condition,
        condition.role,
        condition.baseline,
        condition.method,
        condition.geometry,
        cell.scorer,
        cell.n,
        cell.value,
        cell.low,
        cell.high,
        " ".join(str(value) for value in cell.seeds),
        cell.unparsable,
        cell.unanswered,
        " ".join(f"{name}={value}" for name, value in cell.also.items()),
        cell.failed,
    ]
