"""Learn one pixel prompt on one or several frozen models.

    for step in fit(prompt, models, task, objective=Objective(), optimiser=optimiser):
        print(step.index, step.losses)

Several source models make an ensemble: the loss is the mean of theirs (TVP §4.3). What the terms of
the objective are, nothing here knows: each says what it needs, and what several need is computed
once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from matboard.errors import ConfigError, PreprocessingMismatch, TaskError
from matboard.models.capabilities import Guide, HasFeatures, Learnable, Ranks, require
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.batches import Batch, Batches
from matboard.transfer.gradients import Gradients, Summand
from matboard.transfer.optimisers import Optimiser
from matboard.transfer.passes import CleanFeatures, GuidePass, ModelPass, TextFeatures
from matboard.transfer.processes import Processes
from matboard.transfer.steps import FitState, Step
from matboard.transfer.terms import ModelTerm, Objective

__all__ = ["Fit", "FitState", "Processes", "Step", "fit"]


class Fit(Iterator[Step]):
    """A fit in progress: iterate to make steps; `state` and `load_state` stop and resume it
    exactly.

    Args:
        prompt: what is learned; nothing else changes.
        models: source models; more than one makes an ensemble.
        task: its training part is learned from.
        guide: needed where ``objective.enrichment_weight`` > 0.
        batch_size: samples of one step over all processes.
        diversity: random flips and crops of the picture (not of the prompt).
        diagnose_every: on every so-manieth step the terms' gradients are taken apart, which costs
            one more backward pass; 0 never.
        processes: None asks Accelerate.

    Raises:
        ConfigError: no model, no guide where one is needed, or a batch that its processes cannot
            share.
        PreprocessingMismatch: a model or the guide cannot be learned on; see ``refusal``.
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
        seed: int = 0,
        diversity: bool = True,
        diagnose_every: int = 10,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes.here()
        if not models:
            raise ConfigError("No source model was given; a prompt is learned on at least one.")
        if batch_size % self.processes.count:
            raise ConfigError(
                f"A batch of {batch_size} cannot be shared by {self.processes.count} processes;"
                " make it a multiple."
            )
        self.guide = _needed_guide(objective, guide)
        for model in models:
            _refuse_unable(model, objective)
        _refuse_unlearnable([*models] if self.guide is None else [*models, self.guide])
        if objective.needs.candidates:
            _refuse_without_candidates(task)
        self.prompt = prompt
        self.models = list(models)
        self.task = task
        self.objective = objective
        self.optimiser = optimiser
        self.batches = Batches(task.train, prompt.canvas, batch_size, seed, diversity, task.mirror)
        self.diagnose_every = diagnose_every
        self.step = 0
        self.skipped = 0
        self._clean = CleanFeatures(self.batches)
        self._texts = TextFeatures()

    def __len__(self) -> int:
        return self.optimiser.schedule.steps

    def __next__(self) -> Step:
        if self.step >= len(self):
            raise StopIteration
        started = time.perf_counter()
        batch = self.batches.at(self.step, self.processes.index, self.processes.count)
        with torch.no_grad():
            canvases = self.prompt(batch.images.to(self.prompt.delta.device))
        gradients = self._gradients(batch, canvases)
        gradient = self._learn(gradients)
        return self._report(gradients, gradient, time.perf_counter() - started)

    def state(self) -> FitState:
        """A copy of everything needed to go on."""
        tensors = {"delta": self.prompt.delta.detach(), **self.optimiser.state()}
        return FitState(
            self.step, {name: t.cpu().clone() for name, t in tensors.items()}, self.skipped
        )

    def load_state(self, state: FitState) -> None:
        """Go on from where `state` was taken."""
        tensors = dict(state.tensors)
        self.prompt.delta.data.copy_(tensors.pop("delta"))
        self.optimiser.load_state(tensors)
        self.step, self.skipped = state.step, state.skipped

    # -- one step
    # ------------------------------------------------------------------------------------------------

    def _gradients(self, batch: Batch, canvases: Tensor) -> Gradients:
        """Gradients at the canvas of every term, model by model so that one graph is alive at a
        time.
        """
        apart = bool(self.diagnose_every) and self.step % self.diagnose_every == 0
        out = Gradients(apart)
        if self.objective.of_models:
            for model in self.models:
                leaf = canvases.detach().requires_grad_()
                summands = self._of_model(model, batch, leaf)
                out.add(leaf, summands, share=1 / len(self.models), model=model.name)
        if self.guide is not None:
            leaf = canvases.detach().requires_grad_()
            out.add(leaf, self._of_guide(self.guide, batch, leaf))
        if self.objective.of_canvas:
            leaf = canvases.detach().requires_grad_()
            out.add(leaf, self._of_canvas(leaf))
        return out

    def _of_model(self, model: Learnable, batch: Batch, leaf: Tensor) -> list[Summand]:
        seen = ModelPass(model, batch, leaf, self.objective.needs, self._clean)
        summands = []
        for term in self.objective.of_models:
            total = term.value(seen)
            mean = total / self._units(term, seen)
            summands.append(Summand(term.name, mean, term.sign * term.weight))
        return summands

    def _units(self, term: ModelTerm, seen: ModelPass) -> Tensor | int:
        counted = term.units(seen)
        if counted is None:
            return self.batches.size
        return self.processes.sum(torch.tensor(counted, device=seen.canvases.device))

    def _of_guide(self, guide: Guide, batch: Batch, leaf: Tensor) -> list[Summand]:
        seen = GuidePass(guide, batch, leaf, self._texts)
        summands = []
        for term in self.objective.of_guide:
            mean = term.value(seen) / self.batches.size
            summands.append(Summand(term.name, mean, term.sign * term.weight))
        return summands

    def _of_canvas(self, leaf: Tensor) -> list[Summand]:
        summands = []
        for term in self.objective.of_canvas:
            mean = term.value(leaf) / self.batches.size
            summands.append(Summand(term.name, mean, term.sign * term.weight))
        return summands

    def _learn(self, gradients: Gradients) -> Tensor:
        """Carry the canvas gradient into the learned values and update them; returns the canvas
        gradient.

        A canvas is the placed picture plus the perturbation, clamped straight through, so the
        perturbation's gradient is the canvas gradient summed over the batch.
        """
        canvas = self.processes.sum(gradients.total)
        (values,) = torch.autograd.grad(self.prompt.perturbation(), self.prompt.delta, canvas)
        if bool(torch.isfinite(values).all() and torch.isfinite(canvas).all()):
            with torch.no_grad():
                self.optimiser.update(self.prompt.delta, values, canvas, self.step)
                self.prompt.project_()
        else:
            self.skipped += 1
        self.step += 1
        return canvas

    def _report(self, gradients: Gradients, canvas: Tensor, seconds: float) -> Step:
        losses = {
            name: float(self.processes.sum(value)) for name, value in gradients.losses.items()
        }
        loss = sum(gradients.weights[name] * value for name, value in losses.items())
        norms, cosines = gradients.diagnosis(self.prompt.mask, self.processes)
        return Step(
            index=self.step,
            loss=loss,
            losses=losses,
            lr=self.optimiser.schedule.at(self.step - 1),
            skipped=self.skipped,
            seconds=seconds,
            gradient_norms={**norms, "total": float(canvas.norm())},
            gradient_cosines=cosines,
            per_model=gradients.per_model(self.processes),
        )


def fit(
    prompt: PixelPrompt,
    models: Learnable | Sequence[Learnable],
    task: Task,
    *,
    objective: Objective,
    optimiser: Optimiser,
    guide: Guide | None = None,
    batch_size: int = 16,
    seed: int = 0,
    diversity: bool = True,
) -> Fit:
    """Learn ``prompt`` on frozen ``models``: an iterator of `Step`, ``optimiser.schedule.steps``
    long. See `Fit`.
    """
    sources = [models] if isinstance(models, Learnable) else list(models)
    return Fit(
        prompt,
        sources,
        task,
        objective=objective,
        optimiser=optimiser,
        guide=guide,
        batch_size=batch_size,
        seed=seed,
        diversity=diversity,
    )


def _needed_guide(objective: Objective, guide: Guide | None) -> Guide | None:
    """The guide, if some term asks for it. Raises ConfigError where one does and there is none."""
    asking = [term.title for term in objective.of_guide]
    if asking and guide is None:
        raise ConfigError(
            f"The objective has {' and '.join(asking)}, but no guide was given; name an image-text"
            " model as guide, or set the weight to 0."
        )
    return guide if asking else None


def _refuse_unable(model: Learnable, objective: Objective) -> None:
    for term in objective.of_models:
        if term.needs.taps:
            require(model, HasFeatures, doing=term.title)
        if term.needs.candidates:
            require(model, Ranks, doing=term.title)


def _refuse_unlearnable(models: Sequence[Learnable | Guide]) -> None:
    for model in models:
        if model.refusal is not None:
            raise PreprocessingMismatch(
                f"No prompt can be learned on {model.name}. {model.refusal}"
            )


def _refuse_without_candidates(task: Task) -> None:
    for sample in task.train:
        if len(sample.candidates) < 2:
            raise TaskError(
                f"Sample {sample.id!r} of task {task.name!r} has no candidates to compare; give it"
                " the answers to choose from."
            )
