"""Pixtral (arXiv 2410.07073) and Mistral 3, and LLaVA with Pixtral's eye: each line of visual
tokens is ended, and the eye lays all its pictures end to end.

The text is transformers' PixtralProcessor's; the template is a guess after Mistral's chats, whose
folders bring their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from matboard.models.families.family import Family, Picture
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
)
from matboard.models.processors.geometry import get, whole_patches


def aligned(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """Shrunk where it is too large, its sides rounded up to whole patches."""
    settings = processor.settings
    patch = settings.patch_size
    if settings.do_resize:
        edge = get(settings.size, "longest_edge")
        height = edge or get(settings.size, "height")
        width = edge or get(settings.size, "width")
        if isinstance(patch, int):
            sides = (patch, patch)
        else:
            sides = (get(patch, "height"), get(patch, "width"))
        images = processor.resize(
            images, *whole_patches(*size_of(images), (height, width), sides)
        )
    images = processor.normalise(processor.crop(images))
    sizes = torch.tensor([images.shape[-2:]], device=images.device)
    return {"pixel_values": images, "image_sizes": sizes.repeat(len(images), 1)}


def has_pixtrals_eye(model: Any) -> bool:
    """Whether the vision encoder is Pixtral's."""
    eye = getattr(model.config, "vision_config", None)
    return getattr(eye, "model_type", None) == "pixtral"


def merged_patch(model: Any) -> int:
    """The side in pixels of what becomes one visual token."""
    merged = getattr(model.config, "spatial_merge_size", 1)
    return int(model.config.vision_config.patch_size) * int(merged)


def in_lines(
    model: Any, inputs: Mapping[str, Tensor], counts: Sequence[int]
) -> list[Picture]:
    """A line of visual tokens for each row of patches."""
    lines = (inputs["image_sizes"][:, 0] // merged_patch(model)).tolist()
    return [
        Picture(count, lines=rows) for count, rows in zip(counts, lines, strict=True)
    ]


def _settings(model: Any) -> dict[str, Any]:
    side = merged_patch(model)
    return {"patch_size": {"height": side, "width": side}}


PIXTRAL = Family(
    models=("LlavaForConditionalGeneration", "Mistral3ForConditionalGeneration"),
    where=has_pixtrals_eye,
    template="[INST]{image}{question}[/INST]",
    picture="{tokens}[IMG_END]",
    line_end="[IMG_BREAK]",
    arrange=in_lines,
    end_to_end=True,
    settings=_settings,
    layouts={"Pixtral": Layout(aligned)},
)
