"""Judge prompts: models × tasks × conditions, always from the saved artefact through each model's
official processor.

Every table holds the baselines without which a gain means nothing: the untouched picture, the
picture shrunk behind a black border, and a random border of the same geometry; a flat border too,
where the prompt was learned from one. Differences are paired: the same pictures, with and without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from matboard import metrics
from matboard.errors import TaskError
from matboard.models.capabilities import VisionLanguageModel
from matboard.prompts.artifact import VisualPrompt
from matboard.tasks.task import Sample, Task

Scorer = Literal["ranking", "generation"]
VERDICTS = ("right", "wrong", "unparsable")
"""Columns of a generation's scores."""
BASELINES = {
    "full": "no prompt, full picture",
    "shrunk": "no prompt, shrunk, black border",
    "random": "random border",
}


@dataclass(frozen=True)
class Condition:
    """A way of showing a picture to a model; one prompt a seed, None for the untouched picture."""

    name: str
    label: str
    kind: Literal["baseline", "method"]
    prompts: tuple[VisualPrompt | None, ...]


@dataclass(frozen=True)
class Scored:
    """What one model said about every test sample under one condition and seed.

    Attributes:
        scores: ``n × K`` candidate log-likelihoods; for generation one-hot in ``VERDICTS``.
        labels: ``n`` indices of the right column.
        texts: generated answers; empty for ranking.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """One piece of judging, small enough to be kept and found again after a kill."""

    model: VisionLanguageModel
    task: Task
    condition: Condition
    seed: int
    scorer: Scorer

    @property
    def key(self) -> str:
        """Content address: the same pictures, model and prompt give the same key; a picture file
        that is replaced gives another.
        """
        prompt = self.condition.prompts[self.seed]
        shown = (
            "untouched"
            if prompt is None
            else hashlib.sha256(
                prompt.perturbation.tobytes() + repr(prompt.canvas).encode()
            ).hexdigest()
        )
        parts = (
            self.model.name,
            self.model.encoder,
            self.task.test_fingerprint,
            shown,
            self.scorer,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class ScoreStore:
    """Where scores are kept: in memory here; a workflow keeps them in its run folder."""

    def __init__(self) -> None:
        self._kept: dict[str, Scored] = {}

    def get(self, key: str) -> Scored | None:
        return self._kept.get(key)

    def put(self, key: str, scored: Scored) -> None:
        self._kept[key] = scored


def conditions(prompts: Mapping[str, Sequence[VisualPrompt]]) -> list[Condition]:
    """The baselines, with the geometry of the first prompt and a random border for every seed, then
    every method.

    Where the first prompt learned from a level, that level alone, `VisualPrompt.flat`, is a
    baseline too.
    """
    geometry = next(iter(prompts.values()))[0]
    shown: dict[str, tuple[VisualPrompt | None, ...]] = {
        "full": (None,),
        "shrunk": (geometry.blank(),),
        "random": tuple(geometry.noise(seed) for seed in range(max(map(len, prompts.values())))),
    }
    baselines = [
        Condition(name, label, "baseline", shown[name]) for name, label in BASELINES.items()
    ]
    level = geometry.config.get("level")
    if level is not None:
        baselines.append(
            Condition(
                "flat",
                f"flat border of level {level:g}, before learning",
                "baseline",
                (geometry.flat(level),),
            )
        )
    return baselines + [
        Condition(name, name.upper(), "method", tuple(seeds)) for name, seeds in prompts.items()
    ]


def units(
    model: VisionLanguageModel,
    tasks: Sequence[Task],
    shown: Sequence[Condition],
    scorers: Sequence[Scorer],
) -> list[Unit]:
    """Everything one model is asked."""
    return [
        Unit(model, t, c, seed, s)
        for t in tasks
        for c in shown
        for seed in range(len(c.prompts))
        for s in scorers
    ]


def judge(unit: Unit, store: ScoreStore, batch_size: int = 32) -> Scored:
    """Score one unit, or find it in the store."""
    found = store.get(unit.key)
    if found is None:
        found = _score(unit, batch_size)
        store.put(unit.key, found)
    return found


@dataclass
class TransferTable:
    """Models × tasks × conditions.

    Attributes:
        sources: names of the models that the prompts were learned on.
        models: name → encoder fingerprint.
    """

    sources: tuple[str, ...]
    tasks: Sequence[Task]
    shown: Sequence[Condition]
    models: dict[str, str] = field(default_factory=dict)
    scored: dict[tuple[str, str, str, Scorer], list[Scored]] = field(default_factory=dict)

    def add(self, unit: Unit, scored: Scored) -> None:
        """Take in one judged unit."""
        self.models[unit.model.name] = unit.model.encoder
        self.scored.setdefault(
            (unit.model.name, unit.task.name, unit.condition.name, unit.scorer), []
        ).append(scored)

    def results(self) -> dict[str, Any]:
        """For ``results.json``: every cell with n, 95 % interval, and paired differences to the
        baselines.
        """
        return {
            "schema": 1,
            "kind": "transfer",
            "sources": list(self.sources),
            "models": [self._model(name) for name in self.models],
            "tasks": [
                {
                    "name": t.name,
                    "metric": t.metric,
                    "n": len(t.test),
                    "chance": 1 / max(1, len(t.test[0].candidates)),
                }
                for t in self.tasks
            ],
            "conditions": [
                {"name": c.name, "label": c.label, "kind": c.kind, "seeds": len(c.prompts)}
                for c in self.shown
            ],
            "cells": [self._cell(*key) for key in self.scored],
        }

    @property
    def _baselines(self) -> list[str]:
        return [c.name for c in self.shown if c.kind == "baseline"]

    def _model(self, name: str) -> dict[str, Any]:
        eyes = {self.models[s] for s in self.sources if s in self.models}
        return {
            "name": name,
            "encoder": self.models[name],
            "is_source": name in self.sources,
            "shares_encoder": self.models[name] in eyes,
        }

    def _cell(self, model: str, task: str, condition: str, scorer: Scorer) -> dict[str, Any]:
        runs = self.scored[model, task, condition, scorer]
        metric = self._metric(task, scorer)
        scores, labels = [r.scores for r in runs], runs[0].labels
        estimate = (
            metrics.mean_over_seeds(metric, scores, labels)
            if len(scores) > 1
            else metrics.estimate(metric, scores[0], labels)
        )
        cell = {
            "model": model,
            "task": task,
            "condition": condition,
            "scorer": scorer,
            "metric": metric,
            "n": len(labels),
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "seeds": [metrics.score(metric, s, labels) for s in scores],
            "versus": {
                b: self._versus(scores, labels, model, task, b, scorer)
                for b in self._baselines
                if b != condition
            },
        }
        if scorer == "generation":
            cell["unparsable"] = float(np.mean([s[:, -1] for s in scores]))
        return cell

    def _versus(
        self,
        scores: Sequence[NDArray[np.float64]],
        labels: NDArray[np.int64],
        model: str,
        task: str,
        baseline: str,
        scorer: Scorer,
    ) -> dict[str, float | None]:
        other = [r.scores for r in self.scored[model, task, baseline, scorer]]
        difference = metrics.difference_over_seeds(
            self._metric(task, scorer), other, scores, labels
        )
        return {"value": difference.value, "low": difference.low, "high": difference.high}

    def _metric(self, task: str, scorer: Scorer) -> str:
        return (
            "accuracy"
            if scorer == "generation"
            else next(t.metric for t in self.tasks if t.name == task)
        )


def evaluate(
    prompts: VisualPrompt | Mapping[str, Sequence[VisualPrompt]],
    models: VisionLanguageModel | Iterable[VisionLanguageModel],
    tasks: Task | Sequence[Task],
    *,
    sources: Sequence[str] = (),
    scorers: Sequence[Scorer] = ("ranking",),
    batch_size: int = 32,
    store: ScoreStore | None = None,
) -> TransferTable:
    """Judge one prompt, or several methods with one prompt a seed each, on models × tasks.

    Args:
        models: loaded one after another, so a generator that loads each when asked holds one in
            memory.
        sources: names of the models the prompts were learned on; None is read from a single
            prompt's own record.

    Raises:
        TaskError: a sample has no candidates to choose from.
    """
    methods = {"prompt": [prompts]} if isinstance(prompts, VisualPrompt) else prompts
    each_model = [models] if isinstance(models, VisionLanguageModel) else models
    each_task = [tasks] if isinstance(tasks, Task) else list(tasks)
    table = TransferTable(tuple(sources), each_task, conditions(methods))
    for _ in judging(table, each_model, scorers, store or ScoreStore(), batch_size):
        pass
    return table


def judging(
    table: TransferTable,
    models: Iterable[VisionLanguageModel],
    scorers: Sequence[Scorer],
    store: ScoreStore,
    batch_size: int = 32,
) -> Iterator[Unit]:
    """Fill a table, unit by unit; yields each unit when it is done."""
    for task in table.tasks:
        _check(task)
    for model in models:
        for unit in units(model, table.tasks, table.shown, scorers):
            table.add(unit, judge(unit, store, batch_size))
            yield unit


def show(prompt: VisualPrompt | None, picture: Image) -> Image:
    """The picture a model gets to see under a condition."""
    return picture if prompt is None else prompt.apply(picture)


def _check(task: Task) -> None:
    bare = next((s for s in task.test if not s.candidates), None)
    if bare is not None:
        raise TaskError(
            f"Sample {bare.id!r} of task {task.name!r} has no candidates; give it the answers to"
            " choose from."
        )


def _score(unit: Unit, batch_size: int) -> Scored:
    prompt = unit.condition.prompts[unit.seed]
    samples = unit.task.test
    scores: list[NDArray[np.float64]] = []
    texts: list[str] = []
    for start in range(0, len(samples), batch_size):
        part = samples[start : start + batch_size]
        pictures = [show(prompt, s.load()) for s in part]
        with torch.no_grad():
            if unit.scorer == "ranking":
                scores.append(_rank(unit.model, pictures, part))
            else:
                said = unit.model.generate(pictures, [s.question for s in part])
                texts.extend(said)
                scores.append(np.stack([_verdict(text, s) for text, s in zip(said, part)]))
    labels = [s.label if unit.scorer == "ranking" else 0 for s in samples]
    return Scored(np.concatenate(scores), np.array(labels), tuple(texts))


def _rank(
    model: VisionLanguageModel, pictures: Sequence[Image], samples: Sequence[Sample]
) -> NDArray[np.float64]:
    """Candidate log-likelihoods; samples with fewer candidates than others get −inf in the columns
    they do not have.
    """
    most = max(len(s.candidates) for s in samples)
    padded = [(*s.candidates, *s.candidates[:1] * (most - len(s.candidates))) for s in samples]
    scores = (
        model.candidate_log_likelihoods(pictures, [s.question for s in samples], padded)
        .double()
        .cpu()
        .numpy()
    )
    for row, sample in zip(scores, samples):
        row[len(sample.candidates) :] = -np.inf
    return scores


def _verdict(text: str, sample: Sample) -> NDArray[np.float64]:
    """One-hot in ``VERDICTS``."""
    right = metrics.generation_correct(text, sample.answer, sample.candidates)
    row = np.zeros(len(VERDICTS))
    row[2 if right is None else int(not right)] = 1.0
    return row
