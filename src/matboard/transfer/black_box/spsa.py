"""SPSA with gradient correction: two-sided estimates of the gradient, followed with Nesterov's
momentum (SPSA-GC of BlackVIP, Oh et al., CVPR 2023, arXiv 2303.14773; SPSA: Spall, 1992).

    ĝ = mean over pairs of (L(w + c·Δ) − L(w − c·Δ)) / (2c·Δ)      componentwise
    m ← β·m + ĝ
    w ← w − a·(ĝ + β·m)

What is followed is Nesterov's accelerated gradient: with constant a, w is the look-ahead point of
its classical form, v ← β·v − a·ĝ(φ + β·v), φ ← φ + v, so that w = φ + β·v. The form above, Δ and
the gains are those of the authors' published code (``trainers/blackvip.py``).

| theirs                   | ours                                                          |
|--------------------------|---------------------------------------------------------------|
| w, Δ                     | ``numbers``, `Spsa.perturbations`                             |
| SP_AVG pairs             | half of ``proposals``                                         |
| a_k = a / (k + o)^α      | `Schedule.at` / (step + 1)^``decay``, so o = 1 with k from 0  |
| c_k = c / k^γ            | ``radius`` / (step + 1)^``radius_decay``                      |
| β                        | ``momentum``                                                  |

Theirs learns the decoder of an input-dependent prompt (the Coordinator); what is learned here is a
fixed prompt, as in their own baseline "VP with SPSA-GC": a file that goes in front of any model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from matboard.errors import ConfigError
from matboard.transfer.black_box.proposer import Bounds, Numbers, Proposer
from matboard.transfer.optimisers import Schedule, Update

Count = Annotated[int, Field(ge=2, le=10**4)]
Positive = Annotated[float, Field(gt=0, le=10)]
Power = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Spsa(Proposer):
    """Simultaneous perturbation with gradient correction.

    Args:
        proposals: prompts tried in a step, two for each estimate of the gradient; even.
        radius: c, how far from the prompt they lie: in units of brightness [0, 1], of a ``sigmoid``
            prompt in those of its logits.
        radius_decay: γ.
        decay: α.
        momentum: β; 0 is plain SPSA.

    Raises:
        ConfigError: an odd number of proposals.
    """

    def __init__(
        self,
        start: Numbers,
        bounds: Bounds,
        schedule: Schedule,
        seed: int,
        *,
        proposals: Count = 10,
        radius: Positive = 0.01,
        radius_decay: Power = 0.1,
        decay: Power = 0.4,
        momentum: Share = 0.9,
    ) -> None:
        super().__init__(start, bounds, schedule, seed, proposals)
        if proposals % 2:
            raise ConfigError(
                f"black_box.proposals is {proposals}; SPSA tries prompts in pairs, so give an even"
                " number."
            )
        self.radius = radius
        self.radius_decay = radius_decay
        self.decay = decay
        self.momentum = momentum

    def memory(self) -> dict[str, Tensor]:
        """See `Proposer.memory`."""
        return {"velocity": torch.zeros_like(self.start)}

    def propose(
        self, numbers: Numbers, step: int, memory: Mapping[str, Tensor]
    ) -> Float[Tensor, "proposal number"]:
        """See `Proposer.propose`: first all w + c·Δ, then all w − c·Δ."""
        del memory
        moves = self._radius(step) * self.perturbations(step)
        return torch.cat([numbers + moves, numbers - moves])

    def learn(
        self,
        numbers: Numbers,
        losses: Float[Tensor, " proposal"],
        step: int,
        memory: Mapping[str, Tensor],
    ) -> Update:
        """See `Proposer.learn`."""
        slope = estimate(losses, self.perturbations(step), self._radius(step))
        velocity = self.momentum * memory["velocity"] + slope
        rate = self.schedule.at(step) / (step + 1) ** self.decay
        moved = numbers - rate * (slope + self.momentum * velocity)
        return Update(moved, {"velocity": velocity})

    def perturbations(self, step: int) -> Float[Tensor, "pair number"]:
        """Δ of each pair: evenly from [−1, −0.5] ∪ [0.5, 1]."""
        draw = self.randomness(step)
        shape = (self.proposals // 2, len(self.start))
        sizes = draw.uniform(0.5, 1.0, shape)
        signs = draw.choice([-1.0, 1.0], shape)
        return torch.from_numpy((sizes * signs).astype(np.float32))

    def _radius(self, step: int) -> float:
        return self.radius / float((step + 1) ** self.radius_decay)


def estimate(
    losses: Float[Tensor, " proposal"],
    perturbations: Float[Tensor, "pair number"],
    radius: float,
) -> Numbers:
    """ĝ, from the losses of all w + c·Δ, then of all w − c·Δ. Unbiased for a quadratic loss where
    the signs of Δ are independent and even; otherwise up to terms in c².
    """
    plus, minus = losses.chunk(2)
    rises = ((plus - minus) / (2 * radius)).to(perturbations.dtype)
    return (rises[:, None] / perturbations).mean(dim=0)
