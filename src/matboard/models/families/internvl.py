"""InternVL 3 (arXiv 2504.10479): a grid of tiles, then the whole picture where there is more than
one tile. GOT-OCR 2 (arXiv 2409.01704) brings the image processor.

The text is transformers' InternVLProcessor's, the template OpenGVLab/InternVL3-1B-hf's
(chat_template.jinja).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from matboard.models.families.family import Family
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
    tiles,
)


def thumbnailed(
    processor: DifferentiableProcessor, images: Tensor
) -> dict[str, Tensor]:
    """Tiles in the grid nearest to the picture's proportions, and the picture itself last."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import (
        get_optimal_tiled_canvas,
    )

    settings = processor.settings
    tile = (settings.size["height"], settings.size["width"])
    rows = columns = 1
    if settings.crop_to_patches and settings.max_patches > 1:
        columns, rows = get_optimal_tiled_canvas(
            size_of(images), tile, settings.min_patches, settings.max_patches
        )
    pieces = tiles(processor.resize(images, rows * tile[0], columns * tile[1]), *tile)
    if len(pieces) > 1:
        pieces.append(processor.resize(images, *tile))
    values = processor.normalise(torch.stack(pieces, dim=1)).flatten(0, 1)
    return {
        "pixel_values": values,
        "num_patches": torch.full((len(images),), len(pieces)),
    }


def _settings(model: Any) -> dict[str, Any]:
    return {"crop_to_patches": True}


INTERNVL = Family(
    models=("InternVLForConditionalGeneration",),
    template="<|im_start|>user\n{image}\n{question}<|im_end|>\n<|im_start|>assistant\n",
    picture="<img>{tokens}</img>",
    settings=_settings,
    layouts={"GotOcr2": Layout(thumbnailed)},
)
