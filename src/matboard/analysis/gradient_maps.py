"""Where in a picture an answer comes from: |∂ log p(answer) / ∂ pixel| (arXiv 2404.11207, Fig. 4;
saliency maps are Simonyan et al. 2013, arXiv 1312.6034, Eq. 2, who take the largest of a pixel's
three channels where this is their L2 norm).

=====================  =======================================================
their symbol           our name
=====================  =======================================================
log p(y | X, t)        ``log_likelihood``: of the answer, over all its tokens
∂ log p / ∂ X          its gradient; the map is the norm over the channels
=====================  =======================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.capabilities import (
    FrozenModel,
    HasLikelihoods,
    Images,
    Learnable,
    Ranks,
    require,
)
from matboard.tasks.task import Sample

DOING = "a gradient map"


def gradient_maps(
    model: FrozenModel, images: Images, samples: Sequence[Sample]
) -> NDArray[np.float32]:
    """``batch height width``: how much the log-likelihood of each picture's answer, in nats, moves
    with its pixels, in units of the pixel range [0, 1].

    Args:
        images: the pictures as the model is shown them.
        samples: their questions and answers.

    Raises:
        ModelError: no gradient reaches the pixels, or the model does not say how likely an answer
            is.
    """
    learnable = require(model, Learnable, doing=DOING)
    if learnable.refusal:
        raise ModelError(learnable.refusal)
    shown = images.detach().clone().requires_grad_()
    likelihood = log_likelihood(model, shown, samples)
    (gradient,) = torch.autograd.grad(likelihood.sum(), shown)
    norms: NDArray[np.float32] = gradient.norm(dim=1).float().cpu().numpy()
    return norms


def log_likelihood(
    model: FrozenModel, images: Images, samples: Sequence[Sample]
) -> Float[Tensor, " batch"]:
    """log p(answer), in nats: by itself where the model says so, else among the candidates."""
    questions = [sample.question for sample in samples]
    if isinstance(model, HasLikelihoods):
        return -model.answer_loss(images, questions, [one.answer for one in samples])
    ranking = require(model, Ranks, doing=DOING)
    scores = ranking.candidate_log_likelihoods(
        images, questions, [sample.candidates for sample in samples]
    )
    rows = torch.arange(len(samples), device=scores.device)
    labels = torch.tensor([one.label for one in samples], device=scores.device)
    return scores.log_softmax(dim=1)[rows, labels]


def inside(
    maps: NDArray[np.float32], content: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of each map, the share in [0, 1] that lies where ``content`` is True, on the picture itself;
    0 of a map without any gradient.
    """
    whole = maps.sum(axis=(1, 2), dtype=np.float64)
    within = maps[:, content].sum(axis=1, dtype=np.float64)
    shares: NDArray[np.float64] = np.zeros_like(whole)
    return np.asarray(np.divide(within, whole, out=shares, where=whole > 0))
