"""Idefics 2 (arXiv 2405.02246): a picture's four quarters, where the settings say so, and the
picture itself, each with a mask of its padding.

The text is transformers' Idefics2Processor's; the template is that of Idefics 3 without its first
token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.models.families.family import Family, Picture
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
)
from matboard.models.processors.geometry import between, get


def quartered(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """The four quarters and the picture itself last, each resized alone and padded to one size."""
    settings = processor.settings
    pieces = [*(_quarters(images) if settings.do_image_splitting else ()), images]
    if settings.do_resize:
        pieces = [processor.resize(piece, *_size(settings, piece)) for piece in pieces]
    tall = max(piece.shape[-2] for piece in pieces)
    wide = max(piece.shape[-1] for piece in pieces)
    values = []
    masks = []
    for piece in pieces:
        margin = (0, wide - piece.shape[-1], 0, tall - piece.shape[-2])
        real = torch.ones_like(piece[:, 0], dtype=torch.long)
        values.append(F.pad(processor.normalise(piece), margin))
        masks.append(F.pad(real, margin))
    out = {"pixel_values": torch.stack(values, dim=1)}
    if settings.do_pad:
        out["pixel_attention_mask"] = torch.stack(masks, dim=1)
    return out


def _quarters(images: Tensor) -> list[Tensor]:
    height, width = size_of(images)
    halves = (images[..., : height // 2, :], images[..., height // 2 :, :])
    sides = (slice(width // 2), slice(width // 2, None))
    return [half[..., side] for half in halves for side in sides]


def _size(settings: Any, piece: Tensor) -> tuple[int, int]:
    least = get(settings.size, "shortest_edge")
    most = get(settings.size, "longest_edge")
    if least and most:
        return between(*size_of(piece), least, most)
    return get(settings.size, "height"), get(settings.size, "width")


def pieces(inputs: Mapping[str, Tensor]) -> list[int]:
    """Every picture is cut alike."""
    values = inputs["pixel_values"]
    return [values.shape[1]] * len(values)


def in_quarters(
    model: Any, inputs: Mapping[str, Tensor], counts: Sequence[int]
) -> list[Picture]:
    """The processor does not say that it quarters; the number of pieces does."""
    side = 2 if inputs["pixel_values"].shape[1] > 1 else 0
    return [Picture(count, side, side) for count in counts]


IDEFICS2 = Family(
    models=("Idefics2ForConditionalGeneration",),
    template="User:{image}{question}<end_of_utterance>\nAssistant:",
    picture="<fake_token_around_image>{tokens}<fake_token_around_image>",
    tile="<fake_token_around_image>{tokens}",
    apart=True,
    pieces=pieces,
    arrange=in_quarters,
    layouts={"Idefics2": Layout(quartered, nested=True)},
)
