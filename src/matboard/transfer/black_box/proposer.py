"""What every way of learning without gradients offers: prompts to try, and what to make of their
losses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

from matboard.transfer.optimisers import Schedule, Update

Numbers: TypeAlias = Float[Tensor, " number"]
"""The learned values that act on the picture, in one row."""
Bounds: TypeAlias = tuple[float, float] | None
"""The range outside of which a number changes no picture; None where there is none."""


class Proposer(ABC):
    """Names prompts to try and learns from their losses; pure like `optimisers.Optimiser`: what it
    carries from step to step is the memory that is handed over, and what it draws at random is a
    function of seed and step.

    Args:
        start: the numbers before learning.
        schedule: of the size of its steps.
        proposals: prompts that it tries in a step.
    """

    def __init__(
        self,
        start: Numbers,
        bounds: Bounds,
        schedule: Schedule,
        seed: int,
        proposals: int,
    ) -> None:
        self.start = start
        self.bounds = bounds
        self.schedule = schedule
        self.seed = seed
        self.proposals = proposals

    @abstractmethod
    def memory(self) -> dict[str, Tensor]:
        """What the first step finds."""

    @abstractmethod
    def propose(
        self, numbers: Numbers, step: int, memory: Mapping[str, Tensor]
    ) -> Float[Tensor, "proposal number"]:
        """What to try in a step, counted from 0; the same whenever it is asked.

        Args:
            numbers: where the step before has led to.
            memory: what it gave.
        """

    @abstractmethod
    def learn(
        self,
        numbers: Numbers,
        losses: Float[Tensor, " proposal"],
        step: int,
        memory: Mapping[str, Tensor],
    ) -> Update:
        """Where the step leads to, given the losses of what it proposed: numbers (which may lie
        outside the bounds) and memory.
        """

    def randomness(self, step: int) -> np.random.Generator:
        """What a step draws from; `batches.Batches` draws from streams 0 and 1 of the seed."""
        return np.random.default_rng([self.seed, 2, step])
