"""Every kind of processor, with a prompt attached, makes of pictures what it makes of prompted
pictures: tokens, tiles, sizes and all.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import FAMILIES
from PIL import Image
from transformers.image_processing_base import ImageProcessingMixin

from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas

PROCESSORS = (
    "blip",
    "blip2_opt",
    "florence2",
    "gemma3",
    "git",
    "idefics2",
    "idefics3",
    "instructblip_llama",
    "internvl",
    "llava",
    "llava_next",
    "llava_onevision",
    "mllama",
    "paligemma",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
)
"""One family for each class of processor."""


@pytest.mark.parametrize("name", PROCESSORS)
def test_it_does_to_pictures_what_the_processor_does_to_prompted_ones(name):
    parts = FAMILIES[name]()
    listening = parts.official()
    vlm = HuggingFaceVLM(
        parts.model,
        parts.image_processor,
        parts.tokenizer,
        parts.qformer_tokenizer,
        official=listening,
    )
    nested = vlm._official._nested
    processor = parts.official()
    processor.image_processor = parts.image_processor
    assert isinstance(processor.image_processor, ImageProcessingMixin)
    blank = np.zeros((3, 56, 56), dtype=np.float32)
    prompt = VisualPrompt(Canvas(56, 8), blank).noise(seed=0)
    wide = np.random.default_rng(0).integers(0, 255, (40, 130, 3), dtype=np.uint8)
    picture = Image.fromarray(wide)
    text = [vlm.template.for_processor("how many cats?")]

    def given(one: Image.Image) -> dict:
        images = [[one]] if nested else [one]
        return {"images": images, "text": text, "return_tensors": "pt"}

    ours = prompt.attach(processor)(**given(picture))
    wanted = processor(**given(prompt.apply(picture)))
    untouched = processor(**given(picture))
    assert ours.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(value)), key
    pixels = ours["pixel_values"]
    assert pixels.shape != untouched["pixel_values"].shape or not torch.equal(
        pixels, untouched["pixel_values"]
    )
