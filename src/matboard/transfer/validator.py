"""Validation while a prompt is learned: what is judged is the artefact that would be saved, on PIL
pictures, through each source model's official processor.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from statistics import fmean

import torch
from PIL.Image import Image
from torch import Tensor

from matboard import metrics
from matboard.models.capabilities import FrozenModel, require
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Sample, Task
from matboard.transfer.evaluate import ABILITIES, check_tasks, score
from matboard.transfer.mapping import FitMappings
from matboard.transfer.processes import Processes
from matboard.transfer.steps import BEST, DELTA, FitState
from matboard.transfer.table import metric_of
from matboard.transfer.validation import Best, Validation

UNTOUCHED = "untouched"
START = "start"


@dataclass(frozen=True)
class Verdict:
    """What validation makes of a step.

    Attributes:
        best: the best prompt so far; None where nothing is validated.
        kept: its learned values, by their name among a state's tensors.
        scores: source model → score after the step; empty where it was not due.
        references: only with the first step: the scores of the pictures as they are, and of the
            prompt before learning.
    """

    best: Best | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    references: dict[str, dict[str, float]] = field(default_factory=dict)


class Validator:
    """Judges a prompt on held-out samples.

    Args:
        held: its test part is judged.
        mappings: of the source models; a classifier is judged by the mapping that the prompt makes.

    Raises:
        TaskError: held-out samples lack what the scorer needs.
        ModelError: a model lacks it.
    """

    def __init__(
        self,
        validation: Validation,
        held: Task,
        mappings: FitMappings,
        prompt: PixelPrompt,
        processes: Processes,
    ) -> None:
        check_tasks([held], [validation.scorer])
        ability = ABILITIES[validation.scorer]
        for model in mappings.models:
            require(model, ability, doing=f"validation by {validation.scorer}")
        self.validation = validation
        self.held = held
        self.mappings = mappings
        self._prompt = copy.deepcopy(prompt)
        self._processes = processes
        shrunk = [_kept_shrunk(sample, prompt.canvas) for sample in held.test]
        self._shrunk = replace(held, test=tuple(shrunk))

    def verdict(self, now: FitState, values: Tensor, last: bool) -> Verdict:
        """What to make of learned ``values``, which the step after ``now`` has led to; ``last``: no
        other follows.
        """
        best = now.best
        kept = now.tensors[BEST]
        references = {}
        if best is None:
            references = self._references(now.tensors[DELTA])
            best = Best(now.step, fmean(references[START].values()))
        step = now.step + 1
        scores = {}
        if last or step % self.validation.every == 0:
            scores = self.scores(values)
            best = best.after(step, fmean(scores.values()))
            kept = values if best.step == step else kept
        return Verdict(best, {BEST: kept}, scores, references)

    def scores(self, values: Tensor | None) -> dict[str, float]:
        """Source model → score of the prompt with these learned values; None: of the untouched
        pictures. The first process's where there are several, so that all decide alike.
        """
        prompt = None if values is None else self._artifact(values)
        task = self.held if prompt is None else self._shrunk
        found = [self._score(model, task, prompt) for model in self.mappings.models]
        names = [model.name for model in self.mappings.models]
        return dict(zip(names, self._agreed(found), strict=True))

    def _agreed(self, ours: list[float]) -> list[float]:
        """What the first process measured."""
        if self._processes.count == 1:
            return ours
        device = self._prompt.delta.device
        mine = torch.tensor(ours, dtype=torch.float64, device=device)
        agreed: list[float] = self._processes.gather(mine)[0].tolist()
        return agreed

    def _references(self, start: Tensor) -> dict[str, dict[str, float]]:
        return {UNTOUCHED: self.scores(None), START: self.scores(start)}

    def _artifact(self, values: Tensor) -> VisualPrompt:
        self._prompt.delta.data = values
        return self._prompt.to_artifact()

    def _score(
        self, model: FrozenModel, task: Task, prompt: VisualPrompt | None
    ) -> float:
        scorer = self.validation.scorer
        batch_size = self.validation.batch_size
        judged = self.mappings.judged(model, prompt)
        metric = metric_of(task, scorer)
        graded = metric == "vqa"
        scored = score(judged, task.test, prompt, scorer, batch_size, graded=graded)
        return metrics.score(metric, scored.scores, scored.labels)


def _kept_shrunk(sample: Sample, canvas: Canvas) -> Sample:
    """The same sample, whose picture is decoded and shrunk once. Shrunk again, by a prompt that is
    put on it, it stays what it is.
    """

    @cache
    def shrunk() -> Image:
        return canvas.shrink(sample.load())

    load: Callable[[], Image] = shrunk
    return replace(sample, load=load)
