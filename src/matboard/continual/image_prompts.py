"""L2P with prompts in the form of images: kept as pictures through the patch embedding, or laid out
as tokens past it.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from matboard.continual.eye import FrozenEye
from matboard.continual.l2p import VOTE
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Training, Weight
from matboard.errors import ConfigError
from matboard.prompts.image_tokens import ImagePrompts, Route, Start, reshape_side
from matboard.prompts.pool import Choosing, Embed, UnitPictures


def image_prompts(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    route: Route = "patch_embedding",
    start: Start = "image",
    side: Count = 32,
    size: Count = 10,
    length: Count = 5,
    top_k: Count = 5,
    pull: Weight = 0.1,
    selection: Choosing = "per_sample",
    position: Literal["none", "cls"] = "none",
) -> PromptedLearner:
    """Picture prompts chosen by keys, otherwise as L2P.

    Args:
        side: pixels of a prompt picture's side, on route ``patch_embedding``.
        length: tokens of one prompt, on route ``reshape``; the pictures' shape follows from it.

    Raises:
        ConfigError: a top-k above the pool's size, a side that is no multiple of the patch, a
            length that no picture fits.
    """
    dim = eye.backbone.dim
    pictured = route == "patch_embedding"
    shape = whole_patches(eye, side) if pictured else reshape_side(length, dim)
    source = ImagePrompts(
        patches(eye, training.layer),
        size,
        dim,
        top_k,
        shape,
        route=route,
        start=start,
        selection=selection,
        seed=10 * training.seed,
    )
    weights = {"pull": pull}
    flags = (VOTE,) if selection == "batchwise" else ()
    return PromptedLearner(
        eye, source, classes, training, weights=weights, position=position, flags=flags
    )


def whole_patches(eye: FrozenEye, side: int) -> tuple[int, int]:
    """(side, side). Raises ConfigError where that is no multiple of the backbone's patch."""
    if side % eye.backbone.patch:
        raise ConfigError(
            f"A prompt picture of side {side} came; expected a multiple of {eye.backbone.name}'s"
            f" patch, {eye.backbone.patch}."
        )
    return side, side


def patches(eye: FrozenEye, layer: int) -> Embed:
    """Pictures → the tokens that join at block ``layer``: patch embeddings, having passed the
    blocks before it by themselves.
    """
    backbone = eye.backbone

    def embed(pictures: UnitPictures) -> Float[Tensor, "count token dim"]:
        return backbone.advance(backbone.patch_embed(pictures), stop=layer)

    return embed
