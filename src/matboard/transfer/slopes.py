"""The gradient of each step of a fit: at the canvas, and carried into the learned values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from matboard.models.capabilities import Guide, Learnable
from matboard.prompts.pixel import PixelPrompt
from matboard.transfer.backward import Backward
from matboard.transfer.batches import Batches
from matboard.transfer.gradients import Gradients
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import Slope
from matboard.transfer.pictures import PictureRule
from matboard.transfer.processes import Processes
from matboard.transfer.rounding import float32_cosine


@dataclass
class Slopes:
    """Which way down is, step by step.

    Attributes:
        parts: how many parts a batch is cut into.
        rule: what becomes of each picture's gradient.
        diagnose_every: see `fit.Fit`.
    """

    prompt: PixelPrompt
    models: Sequence[Learnable]
    guide: Guide | None
    objective: Objective
    batches: Batches
    processes: Processes
    parts: int
    rule: PictureRule
    diagnose_every: int

    def __post_init__(self) -> None:
        self._backward = self._new_backward()

    def gradients(self, step: int) -> Gradients:
        """At the canvas, over the whole batch of a step, counted from 0."""
        apart = bool(self.diagnose_every) and step % self.diagnose_every == 0
        gradients = self._backward.at(step, self.prompt, self.parts, apart)
        if step:
            return gradients
        cosine = self._float32_cosine(gradients)
        return replace(gradients, float32_cosine=cosine)

    def slope(self, gradients: Gradients) -> Slope:
        """The canvas gradient, carried into the learned values.

        A canvas is the placed picture plus the perturbation, clamped straight through, so the
        perturbation's gradient is the canvas gradient summed over the batch.
        """
        perturbation = self.prompt.perturbation()
        (values,) = torch.autograd.grad(
            perturbation, self.prompt.delta, gradients.total
        )
        return Slope(values, gradients.total)

    def _new_backward(self) -> Backward:
        return Backward(
            self.objective,
            self.models,
            self.guide,
            self.batches,
            self.processes,
            self.rule,
        )

    def _float32_cosine(self, gradients: Gradients) -> float | None:
        """The first batch once more in float32. What is kept of clean pictures and captions is
        made anew for it: a resumed fit does not know it.
        """

        def exact() -> Tensor:
            again = self._new_backward()
            return again.at(0, self.prompt, self.parts, apart=False).total

        learned_through: list[Learnable | Guide] = [*self.models]
        if self.guide is not None:
            learned_through.append(self.guide)
        mask = self.prompt.mask
        return float32_cosine(gradients.total, exact, mask, learned_through)
