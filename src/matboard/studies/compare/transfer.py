"""Studies of pixel prompts side by side, from the scores that they have kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from matboard.errors import InputError
from matboard.metrics import difference_over_seeds
from matboard.metrics.metric import Array
from matboard.report.words import fixed
from matboard.results import Difference, Interval, TransferResults
from matboard.results.comparison import Beside, ComparedRow, Side
from matboard.results.transfer import Cell, Scorer, TaskFacts
from matboard.runs import Run
from matboard.studies.compare.comparable import Comparable, Rows, shared, unpaired
from matboard.studies.finished import Finished
from matboard.studies.judging import FolderStore
from matboard.tasks.task import sample_fingerprints
from matboard.transfer.conditions import FULL
from matboard.transfer.table import Scored


class TransferRun(Comparable):
    """A finished study of prompts, or prompts that were judged."""

    def __init__(self, name: str, folder: Path, results: TransferResults) -> None:
        super().__init__(name, folder)
        self.results = results
        self.kept = FolderStore(Run(folder).store / "scores")

    @property
    def conditions(self) -> list[str]:
        """See `Comparable.conditions`."""
        return [c.name for c in self.results.conditions if c.role != "baseline"]

    @property
    def held(self) -> str:
        """See `Comparable.held`."""
        models = ", ".join(model.name for model in self.results.models)
        return f"{models} on {', '.join(task.name for task in self.results.tasks)}"

    def rows(
        self, condition: str, others: Sequence[tuple[TransferRun, str]]
    ) -> Iterator[ComparedRow]:
        """See `Comparable.rows`."""
        for scorer in self.results.scorers:
            for task in self.results.tasks:
                for model in self.results.models:
                    mine = self.at(scorer, model.name, task, condition)
                    asked = (run.at(scorer, model.name, task, n) for run, n in others)
                    theirs = [one for one in asked if one is not None]
                    if mine is not None and theirs:
                        yield _row(mine, theirs)

    def notes(self, other: TransferRun) -> Iterator[str]:
        """See `Comparable.notes`."""
        mine, theirs = self.results.precision, other.results.precision
        if mine and theirs and mine != theirs:
            yield (
                f"Models were judged in {mine} for {self.name}, and in {theirs} for"
                f" {other.name}."
            )
        lacking = [*self._lacks(other), *other._lacks(self)]
        if lacking:
            yield f"Left out, for want of a counterpart: {'; '.join(lacking)}."
        yield from self._untouched(other)

    def at(
        self, scorer: Scorer, model: str, task: TaskFacts, condition: str
    ) -> _At | None:
        """The cell of that place, where it has a value."""
        like = self._task_like(task)
        cell = like and self._cells.get((scorer, model, like.name, condition))
        if not cell or cell.value is None:
            return None
        return _At(self, cell)

    def fingerprint(self, task: str) -> str:
        """Of the samples that a task was judged on."""
        return next(t.fingerprint for t in self.results.tasks if t.name == task)

    @cached_property
    def samples(self) -> Mapping[str, Sequence[str]]:
        """Task → fingerprints of the samples that it was judged on; without the tasks that cannot
        be had any more, or have changed.
        """
        try:
            study = Finished.read(self.folder)
        except InputError:
            return {}
        return {
            facts.name: sample_fingerprints(task.test)
            for facts, task in zip(study.results.tasks, study.judged, strict=True)
            if facts.fingerprint == task.test_fingerprint
        }

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str, str], Cell]:
        cells = self.results.cells
        return {(c.scorer, c.model, c.task, c.condition): c for c in cells}

    def _task_like(self, task: TaskFacts) -> TaskFacts | None:
        """Its task of the same samples, or else of the same name."""
        for own in self.results.tasks:
            if own.fingerprint and own.fingerprint == task.fingerprint:
                return own
        return next((own for own in self.results.tasks if own.name == task.name), None)

    def _lacks(self, other: TransferRun) -> Iterator[str]:
        """What of another run's it does not have."""
        models = {model.name for model in self.results.models}
        left = [
            model.name for model in other.results.models if model.name not in models
        ]
        left += [t.name for t in other.results.tasks if self._task_like(t) is None]
        if left:
            yield f"{', '.join(left)} of {other.name}"

    def _untouched(self, other: TransferRun) -> Iterator[str]:
        """Where models say something else than in another run though there is no prompt."""
        differ = []
        for task in self.results.tasks:
            for model in self.results.models:
                for scorer in self.results.scorers:
                    mine = self.at(scorer, model.name, task, FULL)
                    theirs = other.at(scorer, model.name, task, FULL)
                    if mine and theirs and _differ_on_the_same(mine, theirs):
                        values = fixed(mine.cell.value), fixed(theirs.cell.value)
                        differ.append(
                            f"{model.name} on {task.name} {' and '.join(values)}"
                        )
        if differ:
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            yield (
                f"{self.name} and {other.name} differ without any prompt too, on the same samples"
                f" ({'; '.join(differ[:3])}{more}): their models were not loaded alike."
            )


@dataclass(frozen=True)
class _At:
    """A cell of a run."""

    run: TransferRun
    cell: Cell

    @property
    def side(self) -> Side:
        cell = self.cell
        return Side(
            run=self.run.name,
            condition=cell.condition,
            value=Interval(value=cell.value, low=cell.low, high=cell.high, n=cell.n),
            seeds=len(cell.seeds),
        )

    @property
    def seeds(self) -> Sequence[int]:
        return self.run.results.condition(self.cell.condition).seeds

    @property
    def scored(self) -> list[Scored]:
        """What was said, one a seed; nothing where any of it is gone."""
        found = [self.run.kept.get(address) for address in self.cell.kept]
        there = [one for one in found if one is not None]
        return there if len(there) == len(found) else []


def _row(mine: _At, others: Sequence[_At]) -> ComparedRow:
    cell = mine.cell
    task = next(t for t in mine.run.results.tasks if t.name == cell.task)
    untouched = mine.run.at(cell.scorer, cell.model, task, FULL)
    return ComparedRow(
        task=cell.task,
        metric=cell.metric,
        model=cell.model,
        scorer=cell.scorer,
        untouched=untouched.cell.value if untouched else None,
        reference=mine.side,
        others=tuple(_beside(mine, other) for other in others),
    )


def _beside(a: _At, b: _At) -> Beside:
    """b − a: paired where both were judged on the same samples."""
    before, after = a.scored, b.scored
    for at, said in ((a, before), (b, after)):
        if not said:
            gone = "are gone" if at.cell.kept else "lie somewhere it does not say"
            return unpaired(a.side, b.side, f"the scores of {at.run.name} {gone}")
    rows, why = _shared(a, b, len(before[0].labels))
    if rows is None:
        return unpaired(a.side, b.side, why)
    ours, theirs = _by_seed(a, before, b, after)
    labels = before[0].labels[rows[0]]
    try:
        found = difference_over_seeds(
            a.cell.metric,
            [scores[rows[0]] for scores in ours],
            [scores[rows[1]] for scores in theirs],
            labels,
        )
    except InputError as error:  # such as AUC where all of few samples have one answer
        return unpaired(a.side, b.side, str(error).rstrip("."))
    return Beside(
        side=b.side,
        difference=Difference.of(found),
        samples=len(labels),
        seeds=max(len(ours), len(theirs)),
        why=why,
    )


def _shared(a: _At, b: _At, n: int) -> tuple[tuple[Rows, Rows] | None, str]:
    """Which rows of their scores are about the same samples; see `shared`."""
    if a.cell.metric != b.cell.metric:
        return None, f"{a.cell.metric} and {b.cell.metric} are different metrics"
    mine, theirs = (at.run.fingerprint(at.cell.task) for at in (a, b))
    if mine and mine == theirs:
        rows = np.arange(n)
        return (rows, rows), ""
    for at in (a, b):
        if at.cell.task not in at.run.samples:
            return None, f"what {at.run.name} was judged on cannot be had any more"
    return shared(a.run.samples[a.cell.task], b.run.samples[b.cell.task])


def _by_seed(
    a: _At, before: Sequence[Scored], b: _At, after: Sequence[Scored]
) -> tuple[list[Array], list[Array]]:
    """Scores of both, seed by seed: of the seeds that both have, or else in their order; a single
    prompt meets every seed of the other's.
    """
    common = [seed for seed in a.seeds if seed in b.seeds]
    if min(len(before), len(after)) > 1 and common:
        before = [before[a.seeds.index(seed)] for seed in common]
        after = [after[b.seeds.index(seed)] for seed in common]
    elif min(len(before), len(after)) > 1:
        fewest = min(len(before), len(after))
        before, after = before[:fewest], after[:fewest]
    return [one.scores for one in before], [one.scores for one in after]


def _differ_on_the_same(a: _At, b: _At) -> bool:
    mine, theirs = (at.run.fingerprint(at.cell.task) for at in (a, b))
    return bool(mine) and mine == theirs and a.cell.value != b.cell.value
