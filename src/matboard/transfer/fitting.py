"""A prompt that is being learned, step by step, whatever a step learns from.

How a step is made, `fit.Fit` (gradients) and `black_box.fit.BlackBoxFit` (losses alone) say. What
makes a fit one that can be stopped, resumed and validated stands here.
"""

from __future__ import annotations

import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from matboard.errors import FitError
from matboard.models.capabilities import FrozenModel
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.batches import Batches
from matboard.transfer.mapping import FitMappings
from matboard.transfer.processes import Processes
from matboard.transfer.queries import Queries
from matboard.transfer.steps import BEST, DELTA, FitState, Step
from matboard.transfer.validation import Best, Validation, split
from matboard.transfer.validator import Validator, Verdict


@dataclass(frozen=True)
class Made:
    """What a step came to, before it counts.

    Attributes:
        changed: tensors of the state that it changes; none where it learned nothing.
        told: what the step says of itself. Its time, its validation, and what is counted over
            steps are filled in later.
    """

    changed: Mapping[str, Tensor]
    told: Step


class Fitting(Iterator[Step], ABC):
    """A fit in progress: iterate to make steps, or `run` them all; `state` and `load_state` stop
    and resume it exactly.

    A step counts when it is complete. Whatever interrupts it, an exception or a signal, leaves the
    prompt, what is remembered and the number of steps as the last complete one left them.

    Args:
        prompt: what is learned; nothing else changes.
        models: source models; more than one makes an ensemble.
        task: its training part is learned from.
        steps: at most so many.
        tried: prompts that each of a step's pictures is shown with.

    Raises:
        ModelError: a model lacks what validation needs.
        TaskError: samples lack what validation needs, or it leaves none to learn from.
    """

    nothing: ClassVar[str]
    """Why no step may have changed the prompt, and what to do, in sentences."""

    def __init__(
        self,
        prompt: PixelPrompt,
        models: Sequence[FrozenModel],
        task: Task,
        *,
        steps: int,
        tried: int,
        batch_size: int,
        seed: int,
        diversity: bool,
        validation: Validation | None,
        processes: Processes,
    ) -> None:
        self.prompt = prompt
        self.processes = processes
        self.task, held = split(validation, task, seed)
        self.validation = validation
        self.batches = Batches(
            self.task.train, prompt.canvas, batch_size, seed, diversity, task.mirror
        )
        self.queries = Queries.of(batch_size * tried, len(models), validation, held)
        self._steps = steps
        self._mappings = FitMappings(models, self.batches)
        self.models = self._mappings.models
        self._validator = None
        if validation is not None and held is not None:
            self._validator = Validator(
                validation, held, self._mappings, prompt, processes
            )

    def _start(self, memory: Mapping[str, Tensor]) -> None:
        """Stand before the first step, which finds this memory."""
        values = self.prompt.delta.detach()
        tensors = {DELTA: values, **memory, **self._mappings.start()}
        if self._validator is not None:
            tensors[BEST] = values
        self._done = FitState(0, tensors)
        self._started = False

    def __len__(self) -> int:
        return self._steps

    def __repr__(self) -> str:
        return f"<Fit: {self.step} of {len(self)} steps; iterate it or call run() to learn>"

    def __del__(self) -> None:
        if getattr(self, "_started", True) or sys.is_finalizing():
            return
        warnings.warn(
            "A fit was made and thrown away before its first step, so its prompt has learned"
            " nothing. Iterate it ('for step in fit(…)') or call its run().",
            RuntimeWarning,
            stacklevel=2,
        )

    @property
    def step(self) -> int:
        """Steps completed."""
        return self._done.step

    @property
    def skipped(self) -> int:
        """How many of them changed nothing, because there was nothing to learn from."""
        return self._done.skipped

    @property
    def shown(self) -> int:
        """Pictures shown to source models so far; see `Queries`."""
        if self.step == 0:
            return 0
        return self.queries.after(self.step, self.step == len(self))

    @property
    def best(self) -> Best | None:
        """The best prompt so far, which is the fit's at its end; None without validation, and
        before the first step.
        """
        return self._done.best

    @property
    def stopped(self) -> bool:
        """Whether validation has ended it: no better score for so long."""
        if self.validation is None or self.best is None:
            return False
        return self.best.stops(self.validation)

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.stopped or self.step >= len(self)

    def run(self) -> list[Step]:
        """Make all the steps that are left. Raises FitError like iterating."""
        return list(self)

    def __next__(self) -> Step:
        """One step. Raises FitError at the end where every step was skipped."""
        self._started = True
        self._settle()
        if self.finished:
            if self.skipped >= self.step:
                raise FitError(
                    f"None of the {self.step} steps changed the prompt, because"
                    f" {self.nothing}"
                )
            raise StopIteration
        return self._complete(self._next(time.perf_counter()))

    def state(self) -> FitState:
        """A copy of everything needed to go on after the last completed step."""
        done = self._done
        tensors = {name: tensor.cpu().clone() for name, tensor in done.tensors.items()}
        return replace(done, tensors=tensors)

    def load_state(self, state: FitState) -> None:
        """Go on from where `state` was taken. Raises RunError for the state of another fit."""
        self._started = True
        self._done.refuse_foreign(state, len(self))
        device = self.prompt.delta.device
        tensors = {
            name: t.detach().clone().to(device) for name, t in state.tensors.items()
        }
        self._done = replace(state, tensors=tensors, last=None)
        self._settle()

    # -- one step

    @abstractmethod
    def _made(self, now: FitState) -> Made:
        """What the next step learns; nothing is changed yet."""

    @torch.enable_grad()  # an interrupted no_grad() may have left gradients switched off
    def _next(self, started: float) -> FitState:
        """What the next step leads to; nothing is changed yet."""
        now = self._mapped(self._done)
        made = self._made(now)
        tensors = {**now.tensors, **made.changed}
        skipped = now.skipped + (not made.changed)
        step = now.step + 1
        last = step == len(self)
        verdict = Verdict()
        if self._validator is not None:
            verdict = self._validator.verdict(now, tensors[DELTA], last)
        told = replace(
            made.told,
            skipped=skipped,
            queries=self.queries.after(step, last),
            seconds=time.perf_counter() - started,
            validation=verdict.scores,
            references=verdict.references,
        )
        kept = {**tensors, **verdict.kept}
        return FitState(step, kept, skipped, told, verdict.best)

    def _complete(self, done: FitState) -> Step:
        """Make a step count. One assignment does it, so that a signal comes before it or after."""
        self._done = done
        self._settle()
        assert done.last is not None
        return done.last

    def _settle(self) -> None:
        """Give the prompt the learned values of the last completed step; at the end those of the
        best one, where there is validation.
        """
        tensors = self._done.tensors
        values = tensors[DELTA]
        if self.finished:
            values = tensors.get(BEST, values)
        self.prompt.delta.data = values

    def _mapped(self, now: FitState) -> FitState:
        """With the label mappings that the next step learns by."""
        due = self._mappings.due(now.step, self.prompt)
        tensors = {**now.tensors, **due}
        self._mappings.settle(tensors)
        return replace(now, tensors=tensors)
