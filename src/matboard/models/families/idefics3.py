"""Idefics 3 (arXiv 2408.12637) and SmolVLM: a grid of tiles, then the whole picture.

The text is transformers' Idefics3Processor's, the template HuggingFaceTB/SmolVLM-Instruct's
(chat_template.json).
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
from matboard.models.processors.geometry import get, longest_edge, whole_tiles


def split(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """Enlarged to whole tiles, cut up, and the picture itself last."""
    settings = processor.settings
    tile = settings.max_image_size["longest_edge"]
    if settings.do_resize:
        edge = get(settings.size, "longest_edge")
        images = processor.resize(images, *longest_edge(*size_of(images), edge))
    rows = columns = 0
    pieces = []
    if settings.do_image_splitting:
        images = processor.resize(images, *whole_tiles(*size_of(images), tile))
        if size_of(images) != (tile, tile):
            rows = images.shape[-2] // tile
            columns = images.shape[-1] // tile
            pieces = tiles(images, tile, tile)
    pieces.append(processor.resize(images, tile, tile))
    values = torch.stack([processor.normalise(piece) for piece in pieces], dim=1)
    out = {"pixel_values": values}
    if settings.do_pad:
        shape = (len(values), len(pieces), tile, tile)
        out["pixel_attention_mask"] = torch.ones(
            shape, dtype=torch.long, device=values.device
        )
    if settings.return_row_col_info:
        out["rows"] = torch.full((len(values), 1), rows)
        out["cols"] = torch.full((len(values), 1), columns)
    return out


def _settings(model: Any) -> dict[str, Any]:
    return {"return_row_col_info": True}


_SPLIT = Layout(split, nested=True)

IDEFICS3 = Family(
    models=("Idefics3ForConditionalGeneration", "SmolVLMForConditionalGeneration"),
    template="<|im_start|>User:{image}{question}<end_of_utterance>\nAssistant:",
    picture="<fake_token_around_image><global-img>{tokens}<fake_token_around_image>",
    tile="<fake_token_around_image><row_{row}_col_{column}>{tokens}",
    row_end="\n",
    settings=_settings,
    layouts={"Idefics3": _SPLIT, "SmolVLM": _SPLIT},
)
