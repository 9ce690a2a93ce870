"""Qwen2-VL (arXiv 2409.12191), Qwen2.5-VL (arXiv 2502.13923) and Qwen3-VL: pictures of any size as
flat patches.

The template is Qwen/Qwen2-VL-2B-Instruct's (chat_template.json).
"""

from __future__ import annotations

import torch
from torch import Tensor

from matboard.models.families.family import Family
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
)
from matboard.models.processors.geometry import get, multiple


def patched(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """Resized to a multiple of the patch and cut into flat patches, ordered so that those merged
    into one token are neighbours; a still picture fills every frame.
    """
    settings = processor.settings
    patch = settings.patch_size
    merge = settings.merge_size
    if settings.do_resize:
        least = get(settings.size, "shortest_edge")
        most = get(settings.size, "longest_edge")
        size = multiple(*size_of(images), patch * merge, least, most)
        images = processor.resize(images, *size)
    images = processor.normalise(images)
    batch, channels, height, width = images.shape
    rows = height // patch
    columns = width // patch
    grid = images.view(
        batch, channels, rows // merge, merge, patch, columns // merge, merge, patch
    )
    frames = grid.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
    filled = frames.expand(-1, -1, -1, -1, -1, -1, settings.temporal_patch_size, -1, -1)
    sizes = torch.tensor([[1, rows, columns]], device=images.device)
    return {
        "pixel_values": filled.reshape(batch * rows * columns, -1),
        "image_grid_thw": sizes.repeat(batch, 1),
    }


QWEN_VL = Family(
    models=(
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
    ),
    template="<|im_start|>user\n{image}{question}<|im_end|>\n<|im_start|>assistant\n",
    image="<|vision_start|>{token}<|vision_end|>",
    layouts={"Qwen2VL": Layout(patched)},
)
