"""Generated tokens, decoded by a VAE over the backbone's CLS queries."""

from __future__ import annotations

from matboard.continual.eye import FrozenEye
from matboard.continual.image_vae import elbo_weights
from matboard.continual.learner import seeded
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Training, Weight
from matboard.prompts.generators import ClsVAE


def cls_vae(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    length: Count = 5,
    code: Count = 64,
    hidden: Count = 256,
    elbo: Weight = 0.001,
) -> PromptedLearner:
    """A learner whose prompts are ``length`` generated tokens a sample.

    Args:
        elbo: weight of the evidence lower bound.
    """
    dim = eye.backbone.dim
    source = seeded(
        training.seed, lambda: ClsVAE(dim, length, code=code, hidden=hidden)
    )
    return PromptedLearner(eye, source, classes, training, weights=elbo_weights(elbo))
