"""The transfer table: what was scored, gathered, and what it says with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matboard import metrics
from matboard.errors import ModelError
from matboard.models.capabilities import FrozenModel
from matboard.results.parts import Difference, Skipped
from matboard.results.transfer import (
    Cell,
    Condition,
    Model,
    Scorer,
    TaskFacts,
    TransferResults,
)
from matboard.tasks.task import Task
from matboard.transfer.conditions import FULL, Showing
from matboard.transfer.contrasts import contrasts
from matboard.transfer.corrupted import corruption_of

VERDICTS = ("right", "wrong", "unparsable")
"""Columns of a generation's scores."""


def metric_of(task: Task, scorer: Scorer) -> str:
    """What a task's samples are scored with: what is written is right or not, unless the task says
    how right it is.
    """
    if task.metric == "vqa":
        return "vqa" if scorer == "generation" else "accuracy"
    return "accuracy" if scorer == "generation" else task.metric


@dataclass(frozen=True)
class Scored:
    """What one model said about every test sample under one condition and seed.

    Attributes:
        scores: ``n × K`` candidate log-likelihoods; for generation shares of ``VERDICTS``.
        labels: ``n`` indices of the right column.
        texts: generated answers; empty for ranking.
        reasons: why a closed model did not answer about a sample, "" where it did; empty where it
            answered about all. What was not answered counts as wrong.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    texts: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def unanswered(self) -> float:
        """Share of the samples without an answer."""
        return float(np.mean([bool(one) for one in self.reasons] or [False]))


@dataclass(frozen=True)
class _Place:
    """A cell's place; the task by its place in the table, for names may be alike."""

    model: str
    task: int
    condition: str
    scorer: Scorer


@dataclass
class TransferTable:
    """Models × tasks × conditions.

    Attributes:
        sources: names of the models that the prompts were learned on.
        models: name → encoder fingerprint.
    """

    sources: tuple[str, ...]
    tasks: tuple[Task, ...]
    shown: tuple[Showing, ...]
    models: dict[str, str] = field(default_factory=dict)
    _scored: dict[_Place, list[Scored]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            "TransferTable(models × tasks × conditions:"
            f" {len(self.models)} × {len(self.tasks)} × {len(self.shown)})"
        )

    def _repr_html_(self) -> str:
        """The table, where a notebook shows it."""
        return self.results()._repr_html_()

    def enter(self, model: FrozenModel) -> None:
        """Take in a model. Raises ModelError where one of its name is there."""
        if model.name in self.models:
            raise ModelError(
                f"The model {model.name!r} came twice; name it once. Judged twice it would count as"
                " another seed."
            )
        self.models[model.name] = model.encoder

    def add(
        self,
        model: FrozenModel,
        task: Task,
        showing: Showing,
        scorer: Scorer,
        scored: Scored,
    ) -> None:
        """Take in one judged unit."""
        place = self._place(model.name, task, showing.name, scorer)
        self._scored.setdefault(place, []).append(scored)

    def scored(
        self, model: str, task: Task, condition: str, scorer: Scorer
    ) -> list[Scored]:
        """What was said at one place of the table, one a seed; empty where nothing was asked."""
        return self._scored.get(self._place(model, task, condition, scorer), [])

    def estimate(
        self, model: str, task: Task, condition: str, scorer: Scorer, place: int = 0
    ) -> metrics.Estimate:
        """What one of a condition's prompts alone scores, with its interval."""
        scored = self.scored(model, task, condition, scorer)[place]
        return metrics.estimate(self.metric(task, scorer), scored.scores, scored.labels)

    def metric(self, task: Task, scorer: Scorer) -> str:
        """What a task's samples are scored with."""
        return metric_of(task, scorer)

    def results(self) -> TransferResults:
        """Every cell with n, 95 % interval, and paired differences; and what they come to over
        models and tasks.
        """
        results = TransferResults(
            sources=self.sources,
            models=tuple(self._model(name) for name in self.models),
            tasks=tuple(self._task(place) for place in range(len(self.tasks))),
            conditions=tuple(showing.facts for showing in self.shown),
            cells=tuple(self._cell(place) for place in self._scored),
        )
        decided = tuple(contrasts(self, results))
        return results.model_copy(update={"contrasts": decided})

    def notes(self) -> list[str]:
        """What a reader must know of how models answered: candidates that one cannot tell apart,
        and pictures without an answer.
        """
        notes = list(self._silences())
        for place, runs in self._scored.items():
            task = self.tasks[place.task]
            several_right = any(sample.accepted for sample in task.test)
            if place.condition != FULL or place.scorer != "ranking" or several_right:
                continue
            candidates = [sample.candidates for sample in task.test]
            for names in metrics.tied_candidates(runs[0].scores, candidates):
                listed = " and ".join(repr(name) for name in names)
                notes.append(
                    f"{place.model} scores {listed} of {self.task_name(task)} exactly alike for"
                    " every picture: it cannot tell them apart, and ties count for a share."
                )
        return notes

    def _silences(self) -> Iterator[str]:
        """Where a closed model did not answer, and the reason met most often."""
        for place, runs in self._scored.items():
            reasons = Counter(one for run in runs for one in run.reasons if one)
            if not reasons:
                continue
            of = self.task_name(self.tasks[place.task])
            asked = sum(len(run.labels) for run in runs)
            why, often = reasons.most_common(1)[0]
            yield (
                f"{place.model} did not answer about {reasons.total()} of {asked} pictures of {of}"
                f" ({place.condition}, {place.scorer}), which count as wrong; {often} of them:"
                f" {why}. In another run folder those without any reply are asked about again."
            )

    def task_name(self, task: Task) -> str:
        """A task's name in this table: its own, numbered where others are called the same."""
        before = self.tasks[: self._number(task)]
        alike = [other for other in self.tasks if other.name == task.name]
        if len(alike) == 1:
            return task.name
        place = 1 + sum(other.name == task.name for other in before)
        return f"{task.name} ({place})"

    def _place(self, model: str, task: Task, condition: str, scorer: Scorer) -> _Place:
        return _Place(model, self._number(task), condition, scorer)

    def _number(self, task: Task) -> int:
        return next(place for place, own in enumerate(self.tasks) if own is task)

    def _model(self, name: str) -> Model:
        encoder = self.models[name]
        of_sources = {self.models.get(source, "") for source in self.sources}
        known = bool(encoder) and "" not in of_sources and bool(of_sources)
        return Model(
            name=name,
            encoder=encoder,
            is_source=name in self.sources,
            shares_encoder=encoder in of_sources if known else None,
        )

    def _task(self, place: int) -> TaskFacts:
        task = self.tasks[place]
        chances = [
            1 / len(sample.candidates) for sample in task.test if sample.candidates
        ]
        return TaskFacts(
            name=self.task_name(task),
            metric=task.metric,
            n=len(task.test),
            chance=float(np.mean(chances)) if chances else None,
            fingerprint=task.test_fingerprint,
            skipped=tuple(
                Skipped(id=one.id, reason=one.reason) for one in task.skipped
            ),
            corruption=corruption_of(task.name),
        )

    def _cell(self, place: _Place) -> Cell:
        runs = self._scored[place]
        metric = self.metric(self.tasks[place.task], place.scorer)
        labels = runs[0].labels
        scores = [run.scores for run in runs]
        if len(scores) > 1:
            estimate = metrics.mean_over_seeds(metric, scores, labels)
        else:
            estimate = metrics.estimate(metric, scores[0], labels)
        unparsable = None
        if place.scorer == "generation":
            column = VERDICTS.index("unparsable")
            unparsable = float(np.mean([one[:, column] for one in scores]))
        also = self.tasks[place.task].also if place.scorer == "ranking" else ()
        return Cell(
            model=place.model,
            task=self.task_name(self.tasks[place.task]),
            condition=place.condition,
            scorer=place.scorer,
            metric=metric,
            n=len(labels),
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            seeds=tuple(metrics.score(metric, one, labels) for one in scores),
            versus={other: self._versus(place, other) for other in self._others(place)},
            unparsable=unparsable,
            unanswered=_unanswered(runs),
            also={other: _mean(other, scores, labels) for other in also},
        )

    def _others(self, place: _Place) -> list[str]:
        """The conditions that one is compared with: a method as its facts say, a baseline with the
        untouched picture and those of its own geometry.
        """
        own = self._facts(place.condition)
        if own.role != "baseline":
            return list(own.compared_with)
        baselines = [
            showing.facts for showing in self.shown if showing.facts.role == "baseline"
        ]
        alike = (None, own.geometry)
        return [
            other.name
            for other in baselines
            if other.name != own.name
            and (own.geometry is None or other.geometry in alike)
        ]

    def _versus(self, place: _Place, condition: str) -> Difference:
        other = _Place(place.model, place.task, condition, place.scorer)
        ours = [run.scores for run in self._scored[place]]
        theirs = [run.scores for run in self._scored[other]]
        if 1 < len(ours) < len(theirs):
            theirs = theirs[: len(ours)]
        labels = self._scored[place][0].labels
        metric = self.metric(self.tasks[place.task], place.scorer)
        return Difference.of(
            metrics.difference_over_seeds(metric, theirs, ours, labels)
        )

    def _facts(self, condition: str) -> Condition:
        return next(
            showing.facts for showing in self.shown if showing.name == condition
        )


def _unanswered(runs: Sequence[Scored]) -> float | None:
    """Share of pictures without an answer; None where all were answered."""
    share = float(np.mean([run.unanswered for run in runs]))
    return share or None


def _mean(
    metric: str, scores: Sequence[NDArray[np.float64]], labels: NDArray[np.int64]
) -> float:
    """The metric, over seeds."""
    return float(np.mean([metrics.score(metric, one, labels) for one in scores]))
