"""How a prompt is updated.

* `GradientDescent`: momentum SGD, as in VP (Bahng et al., 2022).
* `NormalisedGradient`: δ ← δ − lr · ĝ, ĝ = g / ‖g‖₂ (EVP, Wu et al., 2022; TVP Eq. 7). Only the
  ratios between losses matter to it, not their scale.

Learning rates are multiplied by a schedule that depends on the step alone, so that a resumed run
goes on exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ConfigError
from matboard.registry import Registry, check_options

OPTIMISERS = Registry(
    "optimiser",
    {
        "gradient_descent": "matboard.transfer.optimisers:GradientDescent",
        "normalised_gradient": "matboard.transfer.optimisers:NormalisedGradient",
    },
)


@dataclass(frozen=True)
class Schedule:
    """Learning rate over a run: linear warm-up from 0, then constant, or cosine down to 0.

    Attributes:
        lr: the peak, finite and > 0. For `NormalisedGradient` it is the L2 length of one step.
        steps: length of the run.
        kind: ``constant`` or ``cosine``.
        warmup: steps of warm-up.
    """

    lr: float
    steps: int
    kind: Literal["constant", "cosine"] = "constant"
    warmup: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"lr is {self.lr}; expected a finite number above 0.")
        if self.steps < 1:
            raise ConfigError(f"A run of {self.steps} steps came; expected at least 1.")
        if not 0 <= self.warmup <= self.steps:
            raise ConfigError(
                f"warmup is {self.warmup} steps; expected 0 to the run's {self.steps} steps."
            )

    def at(self, step: int) -> float:
        """Learning rate of step ``step``, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.kind == "constant":
            return self.lr
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * progress))


class Optimiser(ABC):
    """Turns a gradient into an update of the learned values."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    @abstractmethod
    def update(
        self,
        values: Tensor,
        gradient: Tensor,
        canvas_gradient: Float[Tensor, "3 size size"],
        step: int,
    ) -> None:
        """Change ``values`` in place.

        Args:
            gradient: of the loss, same shape as ``values``.
            canvas_gradient: of the loss at every pixel of the canvas, those that no prompt covers
                included.
            step: counted from 0.
        """

    def state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        del state


class GradientDescent(Optimiser):
    """SGD with momentum (VP: lr 40, momentum 0.9, cosine)."""

    def __init__(self, schedule: Schedule, *, momentum: float = 0.9) -> None:
        super().__init__(schedule)
        self.momentum = momentum
        self._velocity: Tensor | None = None

    def update(
        self,
        values: Tensor,
        gradient: Tensor,
        canvas_gradient: Float[Tensor, "3 size size"],
        step: int,
    ) -> None:
        if self._velocity is None:
            self._velocity = torch.zeros_like(values)
        self._velocity = self.momentum * self._velocity.to(values) + gradient
        values -= self.schedule.at(step) * self._velocity

    def state(self) -> dict[str, Tensor]:
        return {} if self._velocity is None else {"velocity": self._velocity}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._velocity = state.get("velocity")


class NormalisedGradient(Optimiser):
    """δ ← δ − lr · g / ‖g‖₂ (TVP Eq. 7).

    Args:
        norm_scope: ``full`` takes ‖g‖₂ over the whole canvas, the picture in the middle included,
            as the authors' code does; ``prompt`` over the learned values only. The paper does not
            say.
    """

    def __init__(
        self, schedule: Schedule, *, norm_scope: Literal["full", "prompt"] = "full"
    ) -> None:
        super().__init__(schedule)
        self.norm_scope = norm_scope

    def update(
        self,
        values: Tensor,
        gradient: Tensor,
        canvas_gradient: Float[Tensor, "3 size size"],
        step: int,
    ) -> None:
        measured = canvas_gradient if self.norm_scope == "full" else gradient
        length = measured.norm() + 1e-10  # as in the authors' code
        values -= self.schedule.at(step) * gradient / length


def build_optimiser(name: str, schedule: Schedule, **options: Any) -> Optimiser:
    """An optimiser by name.

    Args:
        options: keywords of its constructor.

    Raises:
        UnknownName: no such optimiser or option.
        ConfigError: an option of the wrong kind.
    """
    owner = f"optimiser {name!r}"
    checked = check_options(options, OPTIMISERS.options(name), owner)
    optimiser: Optimiser = OPTIMISERS.load(name)(schedule, **checked)
    return optimiser
