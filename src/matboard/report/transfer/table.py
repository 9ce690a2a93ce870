"""The transfer table, arranged for reading.

Rows are models (sources, targets sharing their encoder, targets with another), columns are
conditions: the full picture, then geometry by geometry its baselines and its learned prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from matboard.report.transfer.references import Comparison, Reference
from matboard.results.transfer import (
    GROUPS,
    Cell,
    Condition,
    Group,
    Model,
    Scorer,
    TaskFacts,
    TransferResults,
)

GROUP_TITLES: dict[Group, str] = {
    "source": "source",
    "same": "targets sharing the source’s encoder",
    "other": "targets with another encoder",
    "unknown": "targets whose encoder is not known",
}


@dataclass(frozen=True)
class GeometryColumns:
    """Conditions of one geometry that stand side by side; no geometry for the full picture."""

    geometry: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Mean:
    """A mean over several cells of a column; None where one has no value."""

    value: float | None
    differences: dict[Reference, float]


@dataclass(frozen=True)
class ModelRow:
    """One model's cells, one for each condition; None where nothing was measured."""

    model: Model
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class GroupRows:
    """The models of one group on one task, and their means."""

    group: Group
    rows: tuple[ModelRow, ...]
    means: tuple[Mean, ...]


@dataclass(frozen=True)
class TaskBlock:
    """The table of one task."""

    task: TaskFacts
    groups: tuple[GroupRows, ...]

    @property
    def metric(self) -> str:
        """What its values are: the task's metric, except where answers were generated."""
        cells = (
            cell for group in self.groups for row in group.rows for cell in row.cells
        )
        return next(cell.metric for cell in cells if cell is not None)

    @property
    def same_n(self) -> int | None:
        """The number of test samples, where all cells share it."""
        counts: set[int] = set()
        for group in self.groups:
            for row in group.rows:
                counts.update(cell.n for cell in row.cells if cell is not None)
        return counts.pop() if len(counts) == 1 else None


@dataclass(frozen=True)
class GroupMeans:
    """Means over the model–task pairs of one group that were measured under every condition."""

    group: Group
    metric: str
    pairs: int
    means: tuple[Mean, ...]


@dataclass(frozen=True)
class Table:
    """Everything measured with one scorer."""

    scorer: Scorer
    columns: tuple[GeometryColumns, ...]
    blocks: tuple[TaskBlock, ...]
    means: tuple[GroupMeans, ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All columns, from left to right."""
        return tuple(c for part in self.columns for c in part.conditions)

    @property
    def gaps(self) -> frozenset[int]:
        """Columns that a new geometry begins with, the first column aside."""
        sizes = [len(part.conditions) for part in self.columns]
        return frozenset(accumulate(sizes[:-1]))

    @property
    def geometries(self) -> tuple[str, ...]:
        """The geometries that learned prompts have."""
        return tuple(
            part.geometry for part in self.columns if part.geometry is not None
        )


def arrange(results: TransferResults, scorer: Scorer) -> Table:
    """The table of one scorer; tasks and models in the results' order, what is empty left out."""
    comparison = Comparison(results, scorer)
    columns = _columns(comparison)
    conditions = [c for part in columns for c in part.conditions]
    blocks = []
    for task in results.tasks:
        groups = [_group_rows(comparison, group, task, conditions) for group in GROUPS]
        measured = tuple(group for group in groups if group.rows)
        if measured:
            blocks.append(TaskBlock(task, measured))
    means = _group_means(comparison, conditions)
    return Table(scorer, tuple(columns), tuple(blocks), tuple(means))


def _columns(comparison: Comparison) -> list[GeometryColumns]:
    """Baselines stand before the methods of their geometry, what models learned of themselves
    behind them.
    """
    measured = {condition for _, _, condition in comparison.cells}
    results = comparison.results
    by_geometry: dict[str | None, list[Condition]] = {None: []}
    for condition in (*results.baselines, *results.methods, *results.bounds):
        if condition.name in measured:
            by_geometry.setdefault(condition.geometry, []).append(condition)
    return [
        GeometryColumns(geometry, tuple(conditions))
        for geometry, conditions in by_geometry.items()
        if conditions
    ]


def _group_rows(
    comparison: Comparison,
    group: Group,
    task: TaskFacts,
    conditions: Sequence[Condition],
) -> GroupRows:
    rows = []
    for model in comparison.results.group(group):
        places = ((model.name, task.name, condition.name) for condition in conditions)
        cells = tuple(comparison.cells.get(place) for place in places)
        if any(cells):
            rows.append(ModelRow(model, cells))
    columns = zip(*(row.cells for row in rows))
    means = tuple(_mean(comparison, column) for column in columns)
    return GroupRows(group, tuple(rows), means)


def _mean(comparison: Comparison, cells: Sequence[Cell | None]) -> Mean:
    values = [
        cell.value for cell in cells if cell is not None and cell.value is not None
    ]
    if len(values) < len(cells):
        return Mean(None, {})
    differences: dict[Reference, float] = {}
    for reference in comparison.references:
        found = [comparison.against(cell, reference) for cell in cells]
        known = [d.value for d in found if d is not None and d.value is not None]
        if len(known) == len(cells):
            differences[reference] = fmean(known)
    return Mean(fmean(values), differences)


def _group_means(
    comparison: Comparison, conditions: Sequence[Condition]
) -> list[GroupMeans]:
    """One line for each group and metric."""
    lines = []
    for group in GROUPS:
        for metric in dict.fromkeys(cell.metric for cell in comparison.cells.values()):
            rows = _full_rows(comparison, group, metric, conditions)
            if rows:
                means = tuple(_mean(comparison, column) for column in zip(*rows))
                lines.append(GroupMeans(group, metric, len(rows), means))
    return lines


def _full_rows(
    comparison: Comparison, group: Group, metric: str, conditions: Sequence[Condition]
) -> list[list[Cell | None]]:
    """Rows of cells that have a value under every condition; those that a model which cannot be
    learned on lacks aside.
    """
    rows = []
    needed = {place for place, one in enumerate(conditions) if one.role != "bound"}
    for model in comparison.results.group(group):
        for task in comparison.results.tasks:
            places = [
                (model.name, task.name, condition.name) for condition in conditions
            ]
            found = [comparison.cells.get(place) for place in places]
            known = {
                place
                for place, cell in enumerate(found)
                if cell is not None and cell.value is not None
            }
            measured = {cell.metric for cell in found if cell is not None}
            if needed <= known and measured == {metric}:
                rows.append(found)
    return rows
