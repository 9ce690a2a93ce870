"""How a prompt is updated.

* `GradientDescent`: momentum SGD, as in VP (Bahng et al., 2022).
* `Adam` (arXiv 1412.6980), as in ILM-VP (Chen et al., 2023).
* `NormalisedGradient`: δ ← δ − lr · ĝ, ĝ = g / ‖g‖₂ (EVP, Wu et al., 2022; TVP Eq. 7). Only the
  ratios between losses matter to it, not their scale.

Learning rates are multiplied by a schedule that depends on the step alone, so that a resumed run
goes on exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ConfigError
from matboard.registry import Registry, check_options
from matboard.transfer.pictures import PerPicture

OPTIMISERS = Registry(
    "optimiser",
    {
        "adam": "matboard.transfer.optimisers:Adam",
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


@dataclass(frozen=True)
class Slope:
    """The gradient of one step.

    Attributes:
        values: of the loss, in the learned values.
        canvas: of the loss at every pixel of the canvas, those that no prompt covers included.
    """

    values: Tensor
    canvas: Float[Tensor, "3 size size"]


@dataclass(frozen=True)
class Update:
    """What a step makes of the learned values.

    Attributes:
        values: the new ones.
        memory: what the optimiser carries to the next step.
    """

    values: Tensor
    memory: dict[str, Tensor]


class Optimiser(ABC):
    """Turns a gradient into an update of the learned values; nothing is changed in place, and
    nothing is kept between steps but the memory that is handed over.

    Args:
        per_picture: what becomes of each picture's gradient before they are summed to the one of
            the step; see `pictures.PictureRule`. The papers' is ``sum``.
    """

    def __init__(self, schedule: Schedule, per_picture: PerPicture = "sum") -> None:
        self.schedule = schedule
        self.per_picture = per_picture

    def memory(self, values: Tensor) -> dict[str, Tensor]:
        """What the first step finds, for learned values such as these."""
        del values
        return {}

    @abstractmethod
    def update(
        self, values: Tensor, slope: Slope, step: int, memory: Mapping[str, Tensor]
    ) -> Update:
        """The next values.

        Args:
            step: counted from 0.
            memory: what the step before gave.
        """


class GradientDescent(Optimiser):
    """SGD with momentum (VP: lr 40, momentum 0.9, cosine)."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        momentum: float = 0.9,
        per_picture: PerPicture = "sum",
    ) -> None:
        super().__init__(schedule, per_picture)
        self.momentum = momentum

    def memory(self, values: Tensor) -> dict[str, Tensor]:
        """See `Optimiser.memory`."""
        return {"velocity": torch.zeros_like(values)}

    def update(
        self, values: Tensor, slope: Slope, step: int, memory: Mapping[str, Tensor]
    ) -> Update:
        """See `Optimiser.update`."""
        velocity = self.momentum * memory["velocity"] + slope.values
        moved = values - self.schedule.at(step) * velocity
        return Update(moved, {"velocity": velocity})


class Adam(Optimiser):
    """Adam (arXiv 1412.6980, Alg. 1; ILM-VP: lr 0.01, its defaults)."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        per_picture: PerPicture = "sum",
    ) -> None:
        super().__init__(schedule, per_picture)
        self.beta1 = beta1
        self.beta2 = beta2

    def memory(self, values: Tensor) -> dict[str, Tensor]:
        """See `Optimiser.memory`."""
        return {"mean": torch.zeros_like(values), "square": torch.zeros_like(values)}

    def update(
        self, values: Tensor, slope: Slope, step: int, memory: Mapping[str, Tensor]
    ) -> Update:
        """See `Optimiser.update`."""
        gradient = slope.values
        mean = memory["mean"].lerp(gradient, 1 - self.beta1)
        square = memory["square"].lerp(gradient.square(), 1 - self.beta2)
        unbiased = mean / (1 - self.beta1 ** (step + 1))
        spread = (square / (1 - self.beta2 ** (step + 1))).sqrt() + 1e-8
        moved = values - self.schedule.at(step) * unbiased / spread
        return Update(moved, {"mean": mean, "square": square})


class NormalisedGradient(Optimiser):
    """δ ← δ − lr · g / ‖g‖₂ (TVP Eq. 7).

    Args:
        norm_scope: ``full`` takes ‖g‖₂ over the whole canvas, the picture in the middle included,
            as the authors' code does; ``prompt`` over the learned values only. The paper does not
            say.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        norm_scope: Literal["full", "prompt"] = "full",
        per_picture: PerPicture = "sum",
    ) -> None:
        super().__init__(schedule, per_picture)
        self.norm_scope = norm_scope

    def update(
        self, values: Tensor, slope: Slope, step: int, memory: Mapping[str, Tensor]
    ) -> Update:
        """See `Optimiser.update`."""
        del memory
        measured = slope.canvas if self.norm_scope == "full" else slope.values
        length = measured.norm() + 1e-10  # as in the authors' code
        return Update(values - self.schedule.at(step) * slope.values / length, {})


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
