"""Mllama (Llama 3.2 Vision, arXiv 2407.21783): text from the image token on reads the tiles of its
picture by cross-attention, which skips the tiles of padding.

The text is transformers' MllamaProcessor's; meta-llama/Llama-3.2-11B-Vision-Instruct brings its own
chat template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.models.families.family import Family
from matboard.models.processors.differentiable import (
    DifferentiableProcessor,
    Layout,
    size_of,
    tiles,
)
from matboard.models.processors.geometry import get
from matboard.models.vlm.fusion import Fusion, Prompts, VisionOutput


class CrossAttended(Fusion):
    """The visual tokens are read beside the prompt."""

    def __init__(self, model: Any) -> None:
        eye = model.model.vision_model
        super().__init__(model, eye, model, [eye.forward])

    def encode(self, inputs: Mapping[str, Tensor]) -> VisionOutput:
        states = self.eye(**inputs).last_hidden_state.squeeze(1)
        projected = self.model.model.multi_modal_projector(states)
        real = inputs["aspect_ratio_mask"].squeeze(1).bool()
        return VisionOutput(
            states[real], projected[real], projected.flatten(1, 2), real
        )

    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        after = (prompts.ids == self.model.config.image_token_id).cumsum(1)
        mask = after[:, :, None, None] * self.memory(prompts)["cross_attention_mask"]
        return {
            "input_ids": prompts.ids,
            "cross_attention_states": prompts.visual.states,
            "cross_attention_mask": mask,
        }

    def memory(self, prompts: Prompts) -> dict[str, Tensor]:
        return {"cross_attention_mask": prompts.visual.tiles[:, None, None].long()}

    def recall(self, memory: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        return {name: mask.expand(-1, count, -1, -1) for name, mask in memory.items()}


def on_canvas(processor: DifferentiableProcessor, images: Tensor) -> dict[str, Tensor]:
    """Enlarged into the canvas of whole tiles that fits best, black to the right and below, then
    cut into tiles, padded to the most that there can be.
    """
    from transformers.models.mllama import image_processing_pil_mllama as mllama

    settings = processor.settings
    tile = get(settings.size, "height")
    most = settings.max_image_tiles
    size = size_of(images)
    height, width = map(int, mllama.get_optimal_tiled_canvas(*size, most, tile))
    fitted = mllama.get_image_size_fit_to_canvas(*size, height, width, tile)
    tall, wide = map(int, fitted)
    resized = processor.resize(images, tall, wide)
    padded = F.pad(resized, (0, width - wide, 0, height - tall))
    pieces = torch.stack(tiles(processor.normalise(padded), tile, tile), dim=1)
    count = pieces.shape[1]
    empty = most - count
    kinds = mllama.get_all_supported_aspect_ratios(most)
    kind = kinds.index((height // tile, width // tile))
    facts = {
        "aspect_ratio_ids": [kind + 1],
        "aspect_ratio_mask": [[1] * count + [0] * empty],
        "num_tiles": [count],
    }
    filled = F.pad(pieces, (0, 0, 0, 0, 0, 0, 0, empty))
    out = {"pixel_values": filled.unsqueeze(1)}
    for name, value in facts.items():
        same = torch.tensor([value], device=images.device)
        out[name] = same.repeat_interleave(len(images), 0)
    return out


MLLAMA = Family(
    models=("MllamaForConditionalGeneration",),
    template="{image}{bos}{question}",
    picture="{token}",
    special_tokens=False,
    layouts={"Mllama": Layout(on_canvas, nested=True)},
    fusion=CrossAttended,
)
