"""Learn one pixel prompt on one or several frozen models.

    for step in fit(prompt, models, task, objective=PRESETS["paper"],
    optimiser=NormalisedGradient(Schedule(10, 100))):
        print(step.index, step.losses)

Several source models make an ensemble: the loss is the mean of theirs (TVP §4.3). Each picture is
encoded once a step, for the task loss and for feature consistency; clean features and captions are
encoded once a run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ConfigError, PreprocessingMismatch
from matboard.images import to_array
from matboard.models.capabilities import Guide, VisionLanguageModel
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.batches import Batch, Batches, View
from matboard.transfer.gradients import Gradients, Processes, Term
from matboard.transfer.objectives import (
    CONSISTENCY,
    ENRICHMENT,
    TASK,
    Objective,
    feature_consistency,
    semantic_enrichment,
    task_loss,
    task_units,
)
from matboard.transfer.optimisers import Optimiser

__all__ = [
    "CONSISTENCY",
    "ENRICHMENT",
    "TASK",
    "CleanFeatures",
    "Fit",
    "FitState",
    "Processes",
    "Step",
    "fit",
]


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        index: counted from 1.
        loss: L of Eq. 6, mean over source models.
        losses: each term before its weight, mean over source models.
        lr: learning rate of this step.
        skipped: steps skipped so far because their gradient was not finite.
        seconds: wall time of this step.
        gradient_norms: L2 norms at the canvas, summed over the batch, of each weighted term and of
            their sum; terms only on diagnosed steps.
        gradient_cosines: cosines between the terms' gradients on the prompt's pixels; only on
            diagnosed steps.
        per_model: source model → its task loss and the L2 norm of its gradient.
    """

    index: int
    loss: float
    losses: dict[str, float]
    lr: float
    skipped: int
    seconds: float
    gradient_norms: dict[str, float] = field(default_factory=dict)
    gradient_cosines: dict[str, float] = field(default_factory=dict)
    per_model: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class FitState:
    """Everything a fit needs to go on exactly: the step reached, learned values, the optimiser's
    tensors, skipped steps.
    """

    step: int
    tensors: dict[str, Tensor]
    skipped: int


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
        models: Sequence[VisionLanguageModel],
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
        if objective.enrichment_weight > 0 and guide is None:
            raise ConfigError(
                "enrichment_weight is above 0 but no guide was given; name an image-text model as"
                " guide or set the weight to 0."
            )
        if batch_size % self.processes.count:
            raise ConfigError(
                f"A batch of {batch_size} cannot be shared by {self.processes.count} processes;"
                " make it a multiple."
            )
        _refuse_unlearnable(
            [*models, *([guide] if guide and objective.enrichment_weight > 0 else [])]
        )
        self.prompt, self.models, self.task = prompt, list(models), task
        self.objective, self.optimiser, self.guide = objective, optimiser, guide
        self.batches = Batches(task.train, prompt.canvas, batch_size, seed, diversity, task.mirror)
        self.diagnose_every = diagnose_every
        self.step, self.skipped = 0, 0
        self._clean = CleanFeatures(self.batches, objective)
        self._captions: dict[str, Tensor] = {}

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
        out = Gradients(apart=bool(self.diagnose_every) and self.step % self.diagnose_every == 0)
        for model in self.models:
            leaf = canvases.detach().requires_grad_()
            out.add(
                leaf,
                self._model_terms(model, batch, leaf),
                share=1 / len(self.models),
                model=model.name,
            )
        if self.objective.enrichment_weight > 0 and self.guide is not None:
            leaf = canvases.detach().requires_grad_()
            out.add(leaf, self._enrichment_term(self.guide, batch, leaf))
        return out

    def _model_terms(
        self, model: VisionLanguageModel, batch: Batch, leaf: Tensor
    ) -> dict[str, Term]:
        wanted = self.objective
        taps = (wanted.consistency_tap,) if wanted.consistency_weight > 0 else ()
        answers = model.answer(
            leaf, batch.questions, batch.answers, taps=taps, terminator=wanted.terminator
        )
        units = self.processes.sum(
            torch.tensor(task_units(answers.token_count, wanted.task_form), device=leaf.device)
        )
        terms = {TASK: Term(task_loss(answers.negative_log_likelihood) / units, 1.0)}
        if taps:
            clean = self._clean.of(model, batch, leaf.device)
            distance = feature_consistency(
                answers.features[taps[0]], clean, wanted.consistency_form
            )
            terms[CONSISTENCY] = Term(distance / self.batches.size, wanted.consistency_weight)
        return terms

    def _enrichment_term(self, guide: Guide, batch: Batch, leaf: Tensor) -> dict[str, Term]:
        captions = torch.stack(
            [
                self._caption(guide, s.caption or f"this is a photo of a {s.answer}")
                for s in batch.samples
            ]
        )
        temperature = (
            guide.logit_scale if self.objective.temperature is None else self.objective.temperature
        )
        similarity = semantic_enrichment(
            guide.image_features(leaf),
            captions.to(leaf.device),
            temperature,
            self.objective.enrichment_form,
        )
        return {ENRICHMENT: Term(similarity / self.batches.size, -self.objective.enrichment_weight)}

    def _caption(self, guide: Guide, caption: str) -> Tensor:
        if caption not in self._captions:
            self._captions[caption] = guide.text_features([caption])[0]
        return self._captions[caption]

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
    models: VisionLanguageModel | Sequence[VisionLanguageModel],
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
    sources = [models] if isinstance(models, VisionLanguageModel) else list(models)
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


def _refuse_unlearnable(models: Sequence[VisionLanguageModel | Guide]) -> None:
    for model in models:
        if model.refusal is not None:
            raise PreprocessingMismatch(
                f"No prompt can be learned on {model.name}. {model.refusal}"
            )


class CleanFeatures:
    """f_θ(X): features of unprompted training pictures, each encoded once, alone, and kept.

    Alone, because a batch of one is the only batch whose make-up does not depend on where a run was
    interrupted.
    """

    def __init__(self, batches: Batches, objective: Objective) -> None:
        self._batches, self._tap, self._reference = (
            batches,
            objective.consistency_tap,
            objective.consistency_reference,
        )
        self._kept: dict[tuple[str, int, View], Tensor] = {}

    def of(
        self, model: VisionLanguageModel, batch: Batch, device: torch.device
    ) -> Float[Tensor, "batch token dim"]:
        """Features of the batch's pictures without the prompt, in the views the batch has of them."""
        features = []
        for index, view, question in zip(batch.indices, batch.views, batch.questions):
            key = model.name, index, view
            if key not in self._kept:
                image = torch.from_numpy(self._clean(index, view))[None].to(device)
                with torch.no_grad():
                    self._kept[key] = model.visual_features(image, self._tap, [question])[0]
            features.append(self._kept[key])
        return torch.stack(features)

    def _clean(self, index: int, view: View) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        canvas: Canvas = self._batches.canvas
        picture = self._batches.picture(index)
        if self._reference == "full":
            return to_array(canvas.full(picture, offset=view.offset, mirror=view.mirror))
        return to_array(
            canvas.place(canvas.shrink(picture, offset=view.offset, mirror=view.mirror))
        )
