"""A pool's tokens with a VAE's behind them, over CLS queries or over pictures; ``-lwf`` holds fast
to old logits (LwF, see `distillation`) or to the generator's old output.
"""

from __future__ import annotations

from typing import Literal

from matboard.continual.eye import FrozenEye
from matboard.continual.image_vae import elbo_weights, picture_vae
from matboard.continual.learner import seeded
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Positive, Training, Weight
from matboard.prompts.generators import ClsVAE, GeneratorPool
from matboard.prompts.pool import PromptPool, PromptSource


def generator_pool(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    size: Count = 10,
    length: Count = 5,
    top_k: Count = 5,
    vae: Literal["cls", "image"] = "cls",
    generated: Count = 5,
    side: Count = 32,
    code: Count = 64,
    hidden: Count = 256,
    pull: Weight = 0.1,
    elbo: Weight = 0.001,
    distillation: Weight = 0.0,
    generator_distillation: Weight = 0.0,
    temperature: Positive = 2.0,
) -> PromptedLearner:
    """A pool and a VAE.

    Args:
        vae: over CLS queries, making ``generated`` tokens; or over pictures, making one of ``side``
            pixels.
        elbo: weight of the evidence lower bound.
        distillation: weight of LwF on old classes' logits (its λ_o).
        generator_distillation: weight of what a VAE over queries made of old queries.
        temperature: of LwF.

    Raises:
        ConfigError: a top-k above the pool's size, a side that does not fit, a generator's weight
            for a VAE over pictures.
    """
    dim = eye.backbone.dim
    pool = PromptPool(size, length, dim, top_k, seed=10 * training.seed)

    def build() -> PromptSource:
        if vae == "cls":
            return GeneratorPool(pool, ClsVAE(dim, generated, code=code, hidden=hidden))
        return GeneratorPool(pool, picture_vae(eye, training, side, code))

    source = seeded(training.seed, build)
    weights = {
        "pull": pull,
        **elbo_weights(elbo),
        "distillation": distillation,
        "generator_distillation": generator_distillation,
    }
    return PromptedLearner(
        eye, source, classes, training, weights=weights, temperature=temperature
    )
