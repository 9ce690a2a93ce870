"""What a fit says of itself: its steps, and the state it can go on from."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


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
        per_model: source model → its own terms and the L2 norm of its gradient.
        outlier_share: share of the batch's summed squared gradient norms, picture by picture over
            the prompt's pixels, that the largest picture holds; None for a batch of one.
        float32_cosine: cosine between this step's gradient and the same in float32, over the
            prompt's pixels; of the first step of a fit in lower precision only.
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
    outlier_share: float | None = None
    float32_cosine: float | None = None


@dataclass(frozen=True)
class FitState:
    """Everything a fit needs to go on exactly.

    Attributes:
        step: steps done.
        tensors: the learned values ``delta``, and the optimiser's memory.
        skipped: how many of the steps changed nothing because their gradient was not finite.
        last: what the last of them did; None before the first, and after `Fit.load_state`.
    """

    step: int
    tensors: dict[str, Tensor]
    skipped: int = 0
    last: Step | None = None
