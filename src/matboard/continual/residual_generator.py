"""A pool corrected, sample by sample, by a network that starts at zero.

By name it is learned on the first task alone (``adapt: 1``), where there is nothing yet to hold
fast, and a ridge head takes in later classes.
"""

from __future__ import annotations

from typing import Literal

from matboard.continual.eye import FrozenEye
from matboard.continual.learner import seeded
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Training, Weight
from matboard.prompts.generators import ResidualGenerator
from matboard.prompts.pool import PromptPool


def residual_generator(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    size: Count = 10,
    length: Count = 5,
    top_k: Count = 5,
    weighting: Literal["hard", "soft"] = "hard",
    hidden: Count = 64,
    pull: Weight = 0.1,
    generator_distillation: Weight = 0.0,
) -> PromptedLearner:
    """A pool and a residual made from the query.

    Args:
        generator_distillation: weight of what the residual was for remembered queries.

    Raises:
        ConfigError: a top-k above the pool's size.
    """
    dim = eye.backbone.dim
    pool = PromptPool(
        size, length, dim, top_k, weighting=weighting, seed=10 * training.seed
    )
    source = seeded(training.seed, lambda: ResidualGenerator(pool, dim, hidden=hidden))
    weights = {"pull": pull, "generator_distillation": generator_distillation}
    return PromptedLearner(eye, source, classes, training, weights=weights)
