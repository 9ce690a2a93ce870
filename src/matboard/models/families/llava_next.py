"""LLaVA-NeXT and LLaVA-OneVision (arXiv 2408.03326): the whole picture, then the tiles of the best
fitting size of a list.

The templates are the model cards' of llava-hf/llava-v1.6-mistral-7b-hf and
llava-hf/llava-onevision-qwen2-0.5b-ov-hf.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.image_processing_utils import select_best_resolution

from matboard.models.families.family import Family
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
    tiles,
)
from matboard.models.processors.geometry import fit_inside, get


def any_resolution(
    processor: DifferentiableProcessor, images: Tensor
) -> dict[str, Tensor]:
    """The picture, then tiles of it padded into the size that wastes least."""
    settings = processor.settings
    size = size_of(images)
    edge = get(settings.size, "height") or get(settings.size, "shortest_edge")
    tile = get(getattr(settings, "crop_size", None), "height") or edge
    thumbnail = processor.resize(images, edge, get(settings.size, "width") or edge)
    pieces = [thumbnail, *tiles(_padded(processor, images), tile, tile)]
    values = torch.stack(
        [processor.normalise(processor.shape(piece)) for piece in pieces], dim=1
    )
    sizes = torch.tensor([size], device=images.device).repeat(len(images), 1)
    out = {"pixel_values": values, "image_sizes": sizes}
    if "batch_num_images" in settings.model_input_names:
        out["batch_num_images"] = torch.ones(len(images), dtype=torch.long)
    return out


def _padded(processor: DifferentiableProcessor, images: Tensor) -> Tensor:
    """The picture in the middle of the best size, black around it."""
    size = size_of(images)
    tall, wide = select_best_resolution(size, processor.settings.image_grid_pinpoints)
    height, width = fit_inside(*size, tall, wide)
    top = (tall - height) // 2
    left = (wide - width) // 2
    margins = (left, wide - width - left, top, tall - height - top)
    return F.pad(processor.resize(images, height, width), margins)


_ANY_RESOLUTION = Layout(any_resolution)

LLAVA_NEXT = Family(
    models=("LlavaNextForConditionalGeneration",),
    template="[INST] {image}\n{question} [/INST]",
    layouts={"LlavaNext": _ANY_RESOLUTION},
)

LLAVA_ONEVISION = Family(
    models=("LlavaOnevisionForConditionalGeneration",),
    template="<|im_start|>user {image}\n{question}<|im_end|><|im_start|>assistant\n",
    layouts={"LlavaOnevision": _ANY_RESOLUTION},
)
