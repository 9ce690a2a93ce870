"""Learners whose prompts are made, sample by sample, by a network.

================================  =======================================================================================
learner                           prompts
================================  =======================================================================================
``image-vae``                     a picture decoded by a VAE over pictures, through the patch embedding
``cls-vae``                       tokens decoded by a VAE over CLS queries
``generator-pool``                a pool's tokens with a VAE's behind them (over CLS queries, or over pictures)
``generator-pool-lwf``            the same, holding fast to old logits (LwF) or to the generator's old output
``residual-generator``            a pool corrected by a network that starts at zero; learned on the first task, a calibrated head
================================  =======================================================================================
"""

from __future__ import annotations

from typing import Literal

from matboard.continual.eye import FrozenEye
from matboard.continual.image_prompts import patches, whole_patches
from matboard.continual.learner import seeded
from matboard.continual.prompted import Distillation, PromptedLearner, Training
from matboard.errors import ConfigError
from matboard.prompts.generators import ClsVAE, GeneratorPool, ImageVAE, ResidualGenerator
from matboard.prompts.pool import PromptPool, PromptSource


def image_vae(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    side: int = 32,
    code: int = 64,
    bound: float = 0.001,
) -> PromptedLearner:
    """One generated picture a sample. ``bound`` weighs the evidence lower bound. Raises
    ConfigError.
    """
    source = seeded(training.seed, lambda: _image_vae(eye, training, side, code))
    return PromptedLearner(eye, source, classes, training, weights=_bounded(bound))


def cls_vae(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    length: int = 5,
    code: int = 64,
    hidden: int = 256,
    bound: float = 0.001,
) -> PromptedLearner:
    """``length`` generated tokens a sample. ``bound`` weighs the evidence lower bound."""
    source = seeded(
        training.seed, lambda: ClsVAE(eye.backbone.dim, length, code=code, hidden=hidden)
    )
    return PromptedLearner(eye, source, classes, training, weights=_bounded(bound))


def generator_pool(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    size: int = 10,
    length: int = 5,
    top_k: int = 5,
    vae: Literal["cls", "image"] = "cls",
    generated: int = 5,
    side: int = 32,
    code: int = 64,
    hidden: int = 256,
    pull: float = 0.1,
    bound: float = 0.001,
    logits: float = 0.0,
    generator: float = 0.0,
    temperature: float = 2.0,
) -> PromptedLearner:
    """A pool and a VAE.

    Args:
        vae: over CLS queries, making ``generated`` tokens; or over pictures, making one of ``side``
            pixels.
        logits, generator: weights of LwF on logits and on the generator's output; the latter for a
            VAE over queries.

    Raises:
        ConfigError: a top-k above the pool's size, a side that does not fit, a generator's weight
            for a VAE over pictures.
    """
    dim = eye.backbone.dim
    pool = PromptPool(size, length, dim, top_k, seed=10 * training.seed)

    def build() -> PromptSource:
        made = (
            ClsVAE(dim, generated, code=code, hidden=hidden)
            if vae == "cls"
            else _image_vae(eye, training, side, code)
        )
        return GeneratorPool(pool, made)

    source = seeded(training.seed, build)
    weights = {"pull": pull, **_bounded(bound)}
    return PromptedLearner(
        eye,
        source,
        classes,
        training,
        weights=weights,
        distillation=Distillation(logits, generator, temperature),
    )


def residual_generator(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    size: int = 10,
    length: int = 5,
    top_k: int = 5,
    weighting: Literal["hard", "soft"] = "hard",
    hidden: int = 64,
    pull: float = 0.1,
    generator: float = 0.0,
) -> PromptedLearner:
    """A pool and a residual made from the query, whose output on remembered queries is held fast by
    the weight ``generator``.

    By name it is learned on the first task alone (``adapt: 1``), where there is nothing yet to hold
    fast.
    """
    pool = PromptPool(
        size, length, eye.backbone.dim, top_k, weighting=weighting, seed=10 * training.seed
    )
    source = seeded(training.seed, lambda: ResidualGenerator(pool, eye.backbone.dim, hidden=hidden))
    return PromptedLearner(
        eye,
        source,
        classes,
        training,
        weights={"pull": pull},
        distillation=Distillation(generator=generator),
    )


def _bounded(bound: float) -> dict[str, float]:
    """The evidence lower bound's two terms, both weighed by ``bound``; the default of 0.001 is a
    guess.
    """
    return {"reconstruction": bound, "kl": bound}


def _image_vae(eye: FrozenEye, training: Training, side: int, code: int) -> ImageVAE:
    whole_patches(eye, side)
    if side % 4:
        raise ConfigError(f"Generated pictures of side {side} came; expected a multiple of 4.")
    return ImageVAE(patches(eye, training.layer), side, code=code)
