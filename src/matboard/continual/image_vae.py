"""One generated picture a sample, decoded by a VAE over pictures and put through the backbone's
patch embedding.
"""

from __future__ import annotations

from matboard.continual.eye import FrozenEye
from matboard.continual.image_prompts import patches, whole_patches
from matboard.continual.learner import seeded
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Training, Weight
from matboard.errors import ConfigError
from matboard.prompts.generators import ImageVAE


def image_vae(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    side: Count = 32,
    code: Count = 64,
    elbo: Weight = 0.001,
) -> PromptedLearner:
    """A learner whose prompt is one generated picture.

    Args:
        elbo: weight of the evidence lower bound.

    Raises:
        ConfigError: a side that is no multiple of 4 and of the backbone's patch.
    """
    source = seeded(training.seed, lambda: picture_vae(eye, training, side, code))
    return PromptedLearner(eye, source, classes, training, weights=elbo_weights(elbo))


def picture_vae(eye: FrozenEye, training: Training, side: int, code: int) -> ImageVAE:
    """A VAE whose pictures join as tokens. Raises ConfigError."""
    whole_patches(eye, side)
    if side % 4:
        raise ConfigError(
            f"Generated pictures of side {side} came; expected a multiple of 4."
        )
    return ImageVAE(patches(eye, training.layer), side, code=code)


def elbo_weights(elbo: float) -> dict[str, float]:
    """The evidence lower bound's two terms are weighed alike; the default of 0.001 is a guess."""
    return {"reconstruction": elbo, "kl": elbo}
