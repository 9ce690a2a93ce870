"""The differentiable twins against the official processors at their real sizes, and the geometry
against plain Pillow.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from transformers.models.llava_next.image_processing_pil_llava_next import get_patch_output_size
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
from transformers.models.smolvlm import image_processing_pil_smolvlm as smolvlm

from matboard.errors import PreprocessingMismatch
from matboard.models.processors import geometry
from matboard.models.processors.differentiable import Twin
from matboard.models.processors.preprocessor import (
    LANCZOS_TOLERANCE,
    TOLERANCE,
    Preprocessor,
    disagreement,
    probe,
    to_tensor,
    twin,
)

PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("Blip", {}),
    ("CLIP", {}),
    ("CLIP", {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}),
    ("CLIP", {"crop_size": {"height": 301, "width": 180}}),
    ("Siglip", {}),
    ("ViT", {}),
    ("Bit", {"do_normalize": False}),
    ("DeiT", {"do_rescale": False, "do_normalize": False}),
    ("Gemma3", {}),
    ("LlavaNext", {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}),
    ("LlavaOnevision", {}),
    ("Qwen2VL", {}),
    ("Qwen2VL", {"size": {"shortest_edge": 300 * 300, "longest_edge": 400 * 400}}),
    ("Idefics3", {}),
    ("SmolVLM", {"do_image_splitting": False}),
    ("GotOcr2", {"crop_to_patches": True}),
]


@pytest.mark.parametrize(("family", "settings"), PROCESSORS)
def test_twins_agree_with_the_official_processors(family: str, settings: dict[str, Any]) -> None:
    processor = getattr(hf, f"{family}ImageProcessorPil")(**settings)
    made = Twin(processor)
    for size in ((224, 224), (90, 200), (301, 130)):
        assert disagreement(made, processor, probe(*size)) <= (
            TOLERANCE if made.exact else LANCZOS_TOLERANCE
        )


@pytest.mark.parametrize(("family", "settings"), [*PROCESSORS[:1], *PROCESSORS[8:]])
def test_every_pixel_of_a_square_canvas_gets_a_gradient(
    family: str, settings: dict[str, Any]
) -> None:
    canvas = (
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    ).requires_grad_()
    values = Twin(getattr(hf, f"{family}ImageProcessorPil")(**settings))(canvas)["pixel_values"]
    (
        values * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    ).sum().backward()
    assert canvas.grad is not None and (canvas.grad != 0).all()


def test_resizing_is_pillows_and_stays_in_range() -> None:
    edge = np.zeros((40, 40, 3), np.uint8)
    edge[:, 20:] = 255
    pictures = [Image.fromarray(edge)]
    for resample in (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        made = Twin(hf.ViTImageProcessorPil(resample=resample))
        for size in ((100, 70), (13, 22)):
            ours = made.resize(to_tensor(pictures), *size)
            assert ours.min() >= 0 and ours.max() <= 1
            theirs = to_tensor([pictures[0].resize(size[::-1], resample)])
            assert (ours - theirs).abs().max() < 1.5 / 255


def test_sizes_are_those_of_the_official_geometry() -> None:
    rng = np.random.default_rng(0)
    for height, width in rng.integers(20, 900, (60, 2)).tolist():
        empty = np.broadcast_to(np.zeros(1, np.uint8), (3, height, width))
        assert geometry.multiple(height, width, 28, 56 * 56, 200_000) == smart_resize(
            height, width, 28, 56 * 56, 200_000
        )
        assert geometry.fit_inside(height, width, 336, 672) == tuple(
            get_patch_output_size(empty, (336, 672), "channels_first")
        )
        for edge in (384, 5000):
            assert geometry.longest_edge(
                height, width, edge
            ) == smolvlm.get_resize_output_image_size(empty, edge)


def test_a_processor_nobody_mirrored_is_refused() -> None:
    with pytest.raises(
        PreprocessingMismatch,
        match=re.escape(
            "The differentiable twin of Glm4vImageProcessorPil differs from it in form on a"
        ),
    ):
        twin(hf.Glm4vImageProcessorPil())
    with pytest.raises(PreprocessingMismatch, match="refuse to train through it"):
        twin(hf.ViTImageProcessorPil(resample=Image.Resampling.BOX))


def test_a_processor_that_does_something_else_is_refused_by_its_values() -> None:
    class Darker(hf.ViTImageProcessorPil):  # type: ignore[misc]
        def normalize(self, image: Any, mean: Any, std: Any, **_: Any) -> Any:
            return super().normalize(image * 0.9, mean, std)

    with pytest.raises(
        PreprocessingMismatch,
        match=r"by \d+\.\d levels of 255 \(at most 2 are allowed\) on a smooth picture of 224×224",
    ):
        twin(Darker())


def test_settings_are_replaced_in_a_copy() -> None:
    processor = hf.GotOcr2ImageProcessorPil()
    changed = Preprocessor(processor, {"crop_to_patches": True})
    assert changed.processor.crop_to_patches is True and processor.crop_to_patches is False
    assert len(changed([probe(300, 900)])["pixel_values"]) > 1


def test_pictures_of_any_mode_become_rgb() -> None:
    grey = probe(50, 50).convert("L")
    inputs = Preprocessor(hf.ViTImageProcessorPil())([grey], dtype=torch.bfloat16)
    assert (
        inputs["pixel_values"].shape == (1, 3, 224, 224)
        and inputs["pixel_values"].dtype == torch.bfloat16
    )
