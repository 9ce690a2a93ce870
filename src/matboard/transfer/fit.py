"""Learn one pixel prompt on one or several frozen models.

    for step in fit(prompt, models, task, objective=Objective(), optimiser=optimiser):
        print(step.index, step.losses)

Several source models make an ensemble: the loss is the mean of theirs (TVP §4.3). What the terms of
the objective are, nothing here knows: each says what it needs, and what several need is computed
once.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from matboard.errors import ConfigError, FitError
from matboard.models.capabilities import Guide, Learnable
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.batches import Batches
from matboard.transfer.checks import check_models, check_samples, needed_guide
from matboard.transfer.gradients import Gradients
from matboard.transfer.mapping import FitMappings
from matboard.transfer.methods import by_name
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import Optimiser, Slope
from matboard.transfer.pictures import PictureRule
from matboard.transfer.processes import Processes
from matboard.transfer.slopes import Slopes
from matboard.transfer.steps import BEST, DELTA, FitState, Step
from matboard.transfer.validation import Best, Validation, split
from matboard.transfer.validator import Validator, Verdict

__all__ = ["Fit", "FitState", "Processes", "Step", "fit"]


class Fit(Iterator[Step]):
    """A fit in progress: iterate to make steps, or `run` them all; `state` and `load_state` stop
    and resume it exactly.

    A step counts when it is complete. Whatever interrupts it, an exception or a signal, leaves the
    prompt, the optimiser's memory and the number of steps as the last complete one left them.

    Args:
        prompt: what is learned; nothing else changes.
        models: source models; more than one makes an ensemble.
        task: its training part is learned from.
        guide: needed where a term asks for one.
        batch_size: samples of one step over all processes.
        micro_batch: samples that go through a model at once; None: all that a process has. The
            gradients of these parts are summed in their order, whichever process has which, so that
            with it any number of processes learn the same to the last bit, on machines and thread
            counts that are the same.
        diversity: random flips and crops of the picture (not of the prompt).
        diagnose_every: on every so-manieth step the terms' gradients are taken apart, which costs
            one more backward pass; 0 never.
        validation: holds out a part of the training samples, keeps the prompt that is best on
            them, and may end the fit before its last step; None learns from all of them.
        processes: None asks Accelerate.

    Raises:
        ConfigError: no model, no guide where one is needed, or a batch that its processes or parts
            cannot share.
        ModelError: a model lacks what a term or validation needs.
        PreprocessingMismatch: a model or the guide cannot be learned on; see ``refusal``.
        TaskError: samples lack what a term or validation needs, or validation leaves none.
    """

    def __init__(
        self,
        prompt: PixelPrompt,
        models: Sequence[Learnable],
        task: Task,
        *,
        objective: Objective,
        optimiser: Optimiser,
        guide: Guide | None = None,
        batch_size: int = 16,
        micro_batch: int | None = None,
        seed: int = 0,
        diversity: bool = True,
        diagnose_every: int = 10,
        validation: Validation | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes.here()
        guide = needed_guide(objective, guide)
        check_models(models, guide, objective)
        check_samples(task, objective)
        self.prompt = prompt
        self.task, held = split(validation, task, seed)
        self.validation = validation
        self.objective = objective
        self.optimiser = optimiser
        self.batches = Batches(
            self.task.train, prompt.canvas, batch_size, seed, diversity, task.mirror
        )
        self._mappings = FitMappings(models, self.batches)
        self.models = self._mappings.models
        self._slopes = Slopes(
            prompt,
            self.models,
            guide,
            objective,
            self.batches,
            self.processes,
            parts=self.processes.count_parts(batch_size, micro_batch),
            rule=PictureRule(optimiser.per_picture, prompt.mask),
            diagnose_every=diagnose_every,
        )
        values = prompt.delta.detach()
        tensors = {
            DELTA: values,
            **optimiser.memory(values),
            **self._mappings.start(),
        }
        self._validator = None
        if validation is not None and held is not None:
            tensors[BEST] = values
            self._validator = Validator(
                validation, held, self._mappings, prompt, self.processes
            )
        self._done = FitState(0, tensors)
        self._started = False

    def __len__(self) -> int:
        return self.optimiser.schedule.steps

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
        """How many of them changed nothing, because their gradient was not finite."""
        return self._done.skipped

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
                    f"None of the {self.step} steps changed the prompt, because no gradient was"
                    " finite. Learn in float32, on models whose weights are finite, or with smaller"
                    " weights of the objective's terms."
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

    @torch.enable_grad()  # an interrupted no_grad() may have left gradients switched off
    def _next(self, started: float) -> FitState:
        """What the next step leads to; nothing is changed yet."""
        now = self._mapped(self._done)
        gradients = self._slopes.gradients(now.step)
        slope = self._slopes.slope(gradients)
        tensors = now.tensors
        skipped = now.skipped + 1
        if bool(slope.values.isfinite().all() and slope.canvas.isfinite().all()):
            tensors = {**tensors, **self._updated(slope)}
            skipped = now.skipped
        verdict = Verdict()
        if self._validator is not None:
            last_step = now.step + 1 == len(self)
            verdict = self._validator.verdict(now, tensors[DELTA], last_step)
        seconds = time.perf_counter() - started
        last = self._report(gradients, verdict, skipped, seconds)
        kept = {**tensors, **verdict.kept}
        return FitState(now.step + 1, kept, skipped, last, verdict.best)

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

    @torch.no_grad()
    def _updated(self, slope: Slope) -> dict[str, Tensor]:
        now = self._done
        values = now.tensors[DELTA]
        update = self.optimiser.update(values, slope, now.step, now.memory)
        return {DELTA: self.prompt.projected(update.values), **update.memory}

    def _report(
        self, gradients: Gradients, verdict: Verdict, skipped: int, seconds: float
    ) -> Step:
        losses = {name: float(value) for name, value in gradients.losses.items()}
        return Step(
            index=self.step + 1,
            loss=self.objective.total(losses),
            losses=losses,
            lr=self.optimiser.schedule.at(self.step),
            skipped=skipped,
            seconds=seconds,
            gradient_norms=gradients.norms(),
            gradient_cosines=gradients.cosines(self.prompt.mask),
            per_model=gradients.per_model(),
            validation=verdict.scores,
            references=verdict.references,
            outlier_share=gradients.outlier_share,
            float32_cosine=gradients.float32_cosine,
        )


def fit(
    prompt: PixelPrompt,
    models: Learnable | Sequence[Learnable],
    task: Task,
    *,
    method: str | None = None,
    steps: int | None = None,
    objective: Objective | None = None,
    optimiser: Optimiser | None = None,
    guide: Guide | None = None,
    batch_size: int = 16,
    seed: int = 0,
    diversity: bool | None = None,
    validation: Validation | None = None,
) -> Fit:
    """Learn ``prompt`` on frozen ``models``: an iterator of `Step`, ``steps`` long, or less where
    ``validation`` ends it. Nothing is learned before it is iterated or `Fit.run`. See `Fit`.

    Args:
        method: how, by name (`methods.METHODS`): ``vp``, ``evp``, ``tvp`` or ``matboard``; it says
            whatever is left out of ``objective``, ``optimiser``, ``diversity``, ``validation``.
        steps: of a fit by a method; the method's own where None. An optimiser given by itself has
            its own.

    Raises:
        UnknownName: no such method.
        ConfigError: neither a method nor both an objective and an optimiser came, or steps for an
            optimiser that has its own; what `Fit` refuses.
    """
    if method is not None:
        own = by_name(method)
        objective = objective or own.build_objective()
        validation = validation or own.build_validation()
        diversity = own.diversity if diversity is None else diversity
        if optimiser is None:
            learned, _ = split(validation, task, seed)
            steps = own.steps_over(len(learned.train), batch_size, steps)
            optimiser, steps = own.build_optimiser(steps), None
    if objective is None or optimiser is None:
        raise ConfigError(
            "A fit needs to know how it learns: give a method ('matboard', 'tvp', 'evp' or 'vp'),"
            " or an objective and an optimiser."
        )
    if steps is not None:
        raise ConfigError(
            f"steps is {steps}, but the optimiser's schedule has"
            f" {optimiser.schedule.steps}; say it there alone."
        )
    return Fit(
        prompt,
        [models] if isinstance(models, Learnable) else list(models),
        task,
        objective=objective,
        optimiser=optimiser,
        guide=guide,
        batch_size=batch_size,
        seed=seed,
        diversity=True if diversity is None else diversity,
        validation=validation,
    )
