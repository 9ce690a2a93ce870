"""How a prompted learner learns, and the ranges that learners' options keep to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Place = Annotated[int, Field(ge=0, le=1_000_000)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]

Read = Literal["prompts", "cls"]
Head = Literal["linear", "ridge", "ridge-both"]


@dataclass(frozen=True)
class Training:
    """How a prompted learner learns; the defaults are L2P's as its PyTorch code has them, with the
    clean query.

    Attributes:
        lr: of Adam, reset with every task (0.03 · 16 / 256).
        epochs: over the training samples of each task.
        batch_size: samples a step.
        clip: largest global gradient norm; None for no bound.
        layer: the block at which prompts enter.
        read: what the head reads: the mean of the prompts' outputs (L2P), or the CLS token.
        head: ``linear``, trained with the prompts; or a ridge head on what is read, refitted after
            each task from running sums, so that classes of all tasks are calibrated against each
            other; ``ridge-both`` gives it the frozen query too.
        zero_head: start the linear head from zero.
        adapt: prompts are learned on so many tasks and then left alone, so that what the head reads
            no longer drifts; None for all. RanPAC (arXiv 2307.02251) and APER (arXiv 2303.07338)
            adapt to the first task only. 0 leaves them as they were drawn, a control for what a
            second set of features is worth by itself.
        mask: cross-entropy over the current task's classes alone.
        augment: random crops and flips in training.
        clean_query: in training, choose by the clean picture's kept query rather than the augmented
            one's.
    """

    lr: Positive = 0.001875
    epochs: Count = 5
    batch_size: Count = 16
    clip: Positive | None = 1.0
    layer: Place = 0
    read: Read = "prompts"
    head: Head = "linear"
    zero_head: bool = False
    adapt: Place | None = None
    mask: bool = True
    augment: bool = True
    clean_query: bool = True
    seed: Seed = 0
