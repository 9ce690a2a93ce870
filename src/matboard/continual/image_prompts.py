"""L2P with prompts in the form of images: kept as pictures through the patch embedding, or laid out
as tokens past it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from matboard.continual.eye import FrozenEye
from matboard.continual.l2p import VOTE
from matboard.continual.prompted import PromptedLearner, Training
from matboard.errors import ConfigError
from matboard.prompts.image_tokens import ImagePrompts, Route, Start, reshape_side
from matboard.prompts.pool import Choosing


def image_prompts(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    route: Route = "patch_embedding",
    start: Start = "image",
    side: int = 32,
    size: int = 10,
    length: int = 5,
    top_k: int = 5,
    pull: float = 0.1,
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
    shape = whole_patches(eye, side) if route == "patch_embedding" else reshape_side(length, dim)
    embed = patches(eye, training.layer)
    source = ImagePrompts(
        embed,
        size,
        dim,
        top_k,
        shape,
        route=route,
        start=start,
        selection=selection,
        seed=10 * training.seed,
    )
    flags = (VOTE,) if selection == "batchwise" else ()
    return PromptedLearner(
        eye, source, classes, training, weights={"pull": pull}, position=position, flags=flags
    )


def whole_patches(eye: FrozenEye, side: int) -> tuple[int, int]:
    """(side, side). Raises ConfigError where that is no multiple of the backbone's patch."""
    if side % eye.backbone.patch:
        raise ConfigError(
            f"A prompt picture of side {side} came; expected a multiple of {eye.backbone.name}'s"
            f" patch, {eye.backbone.patch}."
        )
    return side, side


def patches(
    eye: FrozenEye, layer: int
) -> Callable[[Float[Tensor, "count 3 height width"]], Float[Tensor, "count token dim"]]:
    """Pictures → the tokens that join at block ``layer``: patch embeddings, having passed the
    blocks before it by themselves.
    """
    backbone = eye.backbone

    def embed(pictures: Float[Tensor, "count 3 height width"]) -> Float[Tensor, "count token dim"]:
        return backbone.advance(backbone.patch_embed(pictures), stop=layer)

    return embed
