"""What a table decides: mean gains over each model's best baseline, and methods against one
another, over all models of a group and all tasks at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

from matboard import metrics
from matboard.metrics.metric import Array
from matboard.results.parts import Difference
from matboard.results.transfer import (
    GROUPS,
    TARGETS,
    Cell,
    Contrast,
    Pooled,
    Scorer,
    TransferResults,
    best_baseline,
)
from matboard.tasks.task import Task

if TYPE_CHECKING:
    from matboard.transfer.table import TransferTable

ALL_PAIRS = 6
"""Methods that are all compared with one another; of more, each with the first (guess)."""


def contrasts(table: TransferTable, results: TransferResults) -> list[Contrast]:
    """Every contrast of a table, over all tasks and, where there are several, task by task."""
    alone = table.tasks if len(table.tasks) > 1 else ()
    found = []
    for scorer in results.scorers:
        for task in (None, *alone):
            found += list(_Pool(table, results, scorer, task).contrasts())
    return found


class _Pool:
    """Contrasts over one of a table's tasks, or all of them, read by one scorer."""

    def __init__(
        self,
        table: TransferTable,
        results: TransferResults,
        scorer: Scorer,
        task: Task | None,
    ) -> None:
        self.table = table
        self.results = results
        self.scorer = scorer
        self.task = task
        self.tasks = table.tasks if task is None else (task,)
        self.cells = results.by_place(scorer)

    def contrasts(self) -> Iterator[Contrast]:
        """Gains over the best baseline, then methods against one another, group by group."""
        methods = [method.name for method in self.results.methods]
        learned = [*methods, *(bound.name for bound in self.results.bounds)]
        if len(methods) <= ALL_PAIRS:
            pairs = [(later, first) for first, later in combinations(methods, 2)]
        else:
            pairs = [(method, methods[0]) for method in methods[1:]]
        for group, models in self._groups().items():
            for name in learned:
                yield from self._contrast(group, models, name, None)
            for name, against in pairs:
                yield from self._contrast(group, models, name, against)

        yield from self._untaught()

    def _untaught(self) -> Iterator[Contrast]:
        """Where methods were learned on different models: each one's gain on all others."""
        taught = {method.name: method.origin for method in self.results.methods}
        known = {name: own.sources for name, own in taught.items() if own is not None}
        if len(set(known.values())) < 2:
            return
        for name, sources in known.items():
            models = [m.name for m in self.results.models if m.name not in sources]
            yield from self._contrast("untaught", models, name, None)

    def _groups(self) -> dict[Pooled, list[str]]:
        """The models of each group, and of all that are unseen where they are of several groups."""
        found: dict[Pooled, list[str]] = {}
        for group in GROUPS:
            models = [model.name for model in self.results.group(group)]
            if models:
                found[group] = models
        unseen = [group for group in TARGETS if group in found]
        if len(unseen) > 1:
            found["unseen"] = [name for group in unseen for name in found[group]]
        return found

    def _contrast(
        self, group: Pooled, models: Sequence[str], name: str, against: str | None
    ) -> Iterator[Contrast]:
        """One contrast; none where nothing was measured."""
        pairs = []
        cells = []
        for model in models:
            for task in self.tasks:
                cell = self.cells.get((model, self.table.task_name(task), name))
                other = against or (cell and self._best(cell))
                if cell is not None and other:
                    pairs.append(self._compared(cell, task, other))
                    cells.append(cell)
        if pairs:
            yield Contrast(
                scorer=self.scorer,
                group=group,
                task=None if self.task is None else pairs[0].task,
                method=name,
                against=against,
                models=len({cell.model for cell in cells}),
                pairs=len(pairs),
                seeds=len(pairs[0].after),
                difference=Difference.of(metrics.pooled_difference(pairs)),
                unparsable=_unparsable(cells),
            )

    def _best(self, cell: Cell) -> str | None:
        baselines = {baseline.name for baseline in self.results.baselines}
        return best_baseline(cell, self.cells, baselines)

    def _compared(self, cell: Cell, task: Task, other: str) -> metrics.Compared:
        ours = self._scores(cell.model, task, cell.condition)
        theirs = self._scores(cell.model, task, other)
        seeds = min(len(ours), len(theirs))
        if seeds > 1:
            ours = ours[:seeds]
            theirs = theirs[:seeds]
        return metrics.Compared(
            task=cell.task,
            metric=cell.metric,
            before=theirs,
            after=ours,
            labels=self.table.scored(cell.model, task, other, self.scorer)[0].labels,
        )

    def _scores(self, model: str, task: Task, condition: str) -> list[Array]:
        found = self.table.scored(model, task, condition, self.scorer)
        return [scored.scores for scored in found]


def _unparsable(cells: Sequence[Cell]) -> float | None:
    shares = [cell.unparsable for cell in cells if cell.unparsable is not None]
    return fmean(shares) if shares else None
