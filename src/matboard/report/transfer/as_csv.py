"""The transfer table as rows, and as CSV."""

from __future__ import annotations

from matboard.report.rows import rows_csv
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
    """The rows as CSV; see `transfer_table_rows`."""
    others = [f"versus_{other}_{part}" for other in _others(results) for part in PARTS]
    return rows_csv(transfer_table_rows(results), [*FIXED, *others])


def transfer_table_rows(results: TransferResults) -> list[dict[str, object]]:
    """One row a cell, with its interval, seeds and paired differences to every condition that it
    was compared with; numbers as in ``results.json``, nothing rounded. A task's other metrics
    stand in one column, in CSV as ``accuracy=0.5 yes-rate=0.25``.
    """
    others = _others(results)
    comparisons = {scorer: Comparison(results, scorer) for scorer in results.scorers}
    rows = []
    for cell in results.cells:
        row = _facts(results, cell)
        row["best_baseline"] = comparisons[cell.scorer].best(cell)
        for other in others:
            difference = cell.versus.get(other, Difference())
            for part in PARTS:
                row[f"versus_{other}_{part}"] = getattr(difference, part)
        rows.append(row)
    return rows


def _others(results: TransferResults) -> list[str]:
    """Every condition that any cell is compared with."""
    return list(dict.fromkeys(name for cell in results.cells for name in cell.versus))


def _facts(results: TransferResults, cell: Cell) -> dict[str, object]:
    condition = results.condition(cell.condition)
    group = next(model.group for model in results.models if model.name == cell.model)
    return {
        "task": cell.task,
        "metric": cell.metric,
        "model": cell.model,
        "group": group,
        "condition": cell.condition,
        "role": condition.role,
        "baseline": condition.baseline,
        "method": condition.method,
        "geometry": condition.geometry,
        "scorer": cell.scorer,
        "n": cell.n,
        "value": cell.value,
        "low": cell.low,
        "high": cell.high,
        "seeds": list(cell.seeds),
        "unparsable": cell.unparsable,
        "unanswered": cell.unanswered,
        "also": dict(cell.also),
        "failed": cell.failed,
    }
