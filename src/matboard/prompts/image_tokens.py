"""Prompts in the form of images, chosen by keys like a pool's.

Two routes lead from a picture to tokens. ``patch_embedding``: the picture goes through the
backbone's own patch embedding, so it stays a picture that can be looked at and saved as PNG, and
costs height · width / patch² tokens: 4 for 32×32 at patch 16, where 224×224 costs 196. ``reshape``:
a picture of as many values as a pool's prompt has, 3 · height · width = length · dim, laid out as
tokens; past the patch embedding it is only a way to initialise a pool.

Whether it matters that they start as *pictures* is asked by the other starts: ``matched`` draws
noise with each picture's mean and deviation per channel, ``shuffled`` moves the picture's pixels
about, ``random`` is a pool's usual start.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from matboard.errors import ConfigError
from matboard.prompts.pixel import clamp_straight_through
from matboard.prompts.pool import (
    Choosing,
    Embed,
    Labels,
    Pictures,
    Prompted,
    PromptSource,
    Queries,
    Selector,
    UnitPictures,
    uniform,
)

Route = Literal["patch_embedding", "reshape"]
Start = Literal["image", "matched", "shuffled", "random"]


class ImagePrompts(PromptSource):
    """Keyed picture prompts.

    Args:
        embed: the backbone's patch embedding, for route ``patch_embedding``.
        dim: width of a token.
        shape: height and width of the pictures.
        start: what they start from; pictures are taken from the first task's training samples, one
            a class in turn.
        bounds: keys, and pictures of start ``random``, are uniform between these (pictures on route
            ``patch_embedding``: [0, 1]).

    Attributes:
        pixels: ``size 3 height width``, learned; on route ``patch_embedding`` kept in [0, 1]
            straight through.

    Raises:
        ConfigError: a route that the shape does not fit.
    """

    started: Tensor

    def __init__(
        self,
        embed: Embed | None,
        size: int,
        dim: int,
        top_k: int,
        shape: tuple[int, int],
        *,
        route: Route = "patch_embedding",
        start: Start = "image",
        selection: Choosing = "per_sample",
        bounds: tuple[float, float] = (-1, 1),
        seed: int = 0,
    ) -> None:
        super().__init__()
        values = 3 * shape[0] * shape[1]
        if route == "reshape" and values % dim:
            raise ConfigError(
                f"A picture of {shape[0]}×{shape[1]} has {values} values, which cannot be laid out"
                f" as tokens of {dim}."
            )
        if route == "patch_embedding" and embed is None:
            raise ConfigError(
                "Route 'patch_embedding' needs the backbone's patch embedding."
            )
        self.selector = Selector(size, dim, top_k, selection, bounds, seed)
        self.embed = embed
        self.dim = dim
        self.route = route
        self.start = start
        self.seed = seed
        within = (0, 1) if route == "patch_embedding" else bounds
        self.pixels = nn.Parameter(uniform((size, 3, *shape), within, seed + 1))
        self.register_buffer("started", torch.tensor(start == "random"))

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`."""
        chosen, similarity, pull = self.selector(query)
        tokens = self.tokens()[chosen].flatten(1, 2)
        return Prompted(tokens, {"pull": pull}, chosen, similarity)

    def tokens(self) -> Float[Tensor, "size token dim"]:
        """Every prompt's tokens."""
        if self.route == "reshape" or self.embed is None:
            return self.pixels.reshape(len(self.pixels), -1, self.dim)
        return self.embed(clamp_straight_through(self.pixels)).float()

    def begin(self, queries: Queries, images: Pictures, labels: Labels) -> None:
        """Before the first task: start from its pictures."""
        if bool(self.started):
            return
        shape = tuple(self.pixels.shape[-2:])
        pictures = images[_one_a_class(labels, len(self.pixels))].float() / 255
        resized = F.interpolate(pictures, size=shape, mode="bicubic", antialias=True)
        start = begun(resized.clamp(0, 1), self.start, self.seed)
        self.pixels.data.copy_(start)
        self.started.fill_(True)

    def pictures(self) -> UInt8[Tensor, "size 3 height width"]:
        """The prompts as 8-bit pictures; on route ``reshape`` values are stretched to [0, 1], as no
        backbone ever sees them like this.
        """
        values = self.pixels.detach()
        if self.route == "reshape":
            low = values.amin(dim=(1, 2, 3), keepdim=True)
            high = values.amax(dim=(1, 2, 3), keepdim=True)
            values = (values - low) / (high - low).clamp_min(1e-12)
        return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def begun(pictures: UnitPictures, start: Start, seed: int) -> UnitPictures:
    """Pictures, or what stands in for them as a control."""
    generator = torch.Generator().manual_seed(seed + 2)
    if start == "matched":
        mean = pictures.mean(dim=(2, 3), keepdim=True)
        deviation = pictures.std(dim=(2, 3), keepdim=True)
        return mean + deviation * torch.randn(pictures.shape, generator=generator)
    if start == "shuffled":
        order = torch.randperm(pictures[0, 0].numel(), generator=generator)
        return pictures.flatten(2)[..., order].reshape(pictures.shape)
    return pictures


def reshape_side(length: int, dim: int) -> tuple[int, int]:
    """Height and width, as square as they come, of a picture with as many values as ``length``
    tokens. Raises ConfigError.
    """
    values = length * dim
    if values % 3:
        raise ConfigError(
            f"{length} tokens of {dim} are {values} values, which are no multiple of 3 channels;"
            " choose another length."
        )
    pixels = values // 3
    height = next(h for h in range(math.isqrt(pixels), 0, -1) if pixels % h == 0)
    return height, pixels // height


def _one_a_class(labels: Labels, count: int) -> list[int]:
    """Indices that take one sample of each class in turn, as often as needed."""
    classes = labels.unique().tolist()
    queues = [torch.nonzero(labels == label).flatten().tolist() for label in classes]
    taken = []
    for place in range(count):
        turn, which = divmod(place, len(queues))
        queue = queues[which]
        taken.append(queue[turn % len(queue)])
    return taken
