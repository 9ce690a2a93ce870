"""The differentiable processors against the official ones at their real sizes, and the geometry
against theirs.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers.models.llava_next.image_processing_pil_llava_next import (
    get_patch_output_size,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
from transformers.models.smolvlm import image_processing_pil_smolvlm as smolvlm

from matboard.errors import PreprocessingMismatch
from matboard.models.families import layout_of
from matboard.models.processors import geometry
from matboard.models.processors.check import (
    TOLERANCE,
    deviation,
    disagreement,
    faithful,
    probe,
    prompted,
)
from matboard.models.processors.differentiable import WHOLE, DifferentiableProcessor
from matboard.models.processors.preprocessor import Preprocessor

PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("Blip", {}),
    ("CLIP", {}),
    (
        "CLIP",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    ("CLIP", {"crop_size": {"height": 301, "width": 180}}),
    ("Siglip", {}),
    ("ViT", {}),
    ("Bit", {"do_normalize": False}),
    ("DeiT", {"do_rescale": False, "do_normalize": False}),
    ("Gemma3", {}),
    (
        "LlavaNext",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    ("LlavaOnevision", {}),
    ("Qwen2VL", {}),
    ("Qwen2VL", {"size": {"shortest_edge": 300 * 300, "longest_edge": 400 * 400}}),
    ("Idefics3", {}),
    ("SmolVLM", {"do_image_splitting": False}),
    ("GotOcr2", {"crop_to_patches": True}),
]


def processor_of(family: str, settings: dict[str, Any]) -> Any:
    return getattr(hf, f"{family}ImageProcessorPil")(**settings)


@pytest.mark.parametrize(("family", "settings"), PROCESSORS)
def test_they_agree_with_the_official_processors(
    family: str, settings: dict[str, Any]
) -> None:
    processor = processor_of(family, settings)
    made = DifferentiableProcessor(processor, layout_of(processor))
    for size in ((224, 224), (90, 200), (301, 130)):
        assert disagreement(made, processor, probe(*size)) <= TOLERANCE


@pytest.mark.parametrize(("family", "settings"), PROCESSORS)
def test_they_agree_on_prompted_canvases(family: str, settings: dict[str, Any]) -> None:
    """Their hard edges overshoot where a resize enlarges them by cubics or Lanczos."""
    processor = processor_of(family, settings)
    made = DifferentiableProcessor(processor, layout_of(processor))
    assert deviation(made, processor) is None
    assert disagreement(made, processor, prompted(96, 15)) <= TOLERANCE


def test_what_differs_on_a_prompted_canvas_alone_is_said() -> None:
    class Sharper(hf.ViTImageProcessorPil):  # type: ignore[misc]
        def resize(self, image: Any, *args: Any, **options: Any) -> Any:
            hard = np.abs(np.diff(image.astype(int), axis=-1)).max() > 200
            return super().resize(image // 2 if hard else image, *args, **options)

    processor = Sharper()
    said = deviation(faithful(processor, WHOLE), processor)
    assert said is not None
    assert re.search(
        r"version of Sharper differs from it by \d+\.\d levels of 255", said
    )
    assert Preprocessor(processor).deviation == said


@pytest.mark.parametrize(("family", "settings"), [*PROCESSORS[:1], *PROCESSORS[8:]])
def test_every_pixel_of_a_square_canvas_gets_a_gradient(
    family: str, settings: dict[str, Any]
) -> None:
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    canvas = (noise * 0.5 + 0.25).requires_grad_()
    processor = processor_of(family, settings)
    values = DifferentiableProcessor(processor, layout_of(processor))(canvas)[
        "pixel_values"
    ]
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    (values * weights).sum().backward()
    assert canvas.grad is not None and (canvas.grad != 0).all()


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
    sentence = (
        "version of Glm4vImageProcessorPil differs from it in form on a smooth picture"
    )
    with pytest.raises(PreprocessingMismatch, match=sentence):
        faithful(hf.Glm4vImageProcessorPil(), WHOLE)


def test_a_processor_that_does_something_else_is_refused_by_its_values() -> None:
    class Darker(hf.ViTImageProcessorPil):  # type: ignore[misc]
        def normalize(self, image: Any, mean: Any, std: Any, **_: Any) -> Any:
            return super().normalize(image * 0.9, mean, std)

    with pytest.raises(
        PreprocessingMismatch,
        match=r"by \d+\.\d levels of 255 \(at most 2 are allowed\) on a smooth picture of 224×224",
    ):
        faithful(Darker(), WHOLE)


def test_settings_are_replaced_in_a_copy() -> None:
    processor = hf.GotOcr2ImageProcessorPil()
    changed = Preprocessor(processor, layout_of(processor), {"crop_to_patches": True})
    assert (
        changed.processor.crop_to_patches is True and processor.crop_to_patches is False
    )
    assert len(changed([probe(300, 900)])["pixel_values"]) > 1


def test_pictures_of_any_mode_become_rgb() -> None:
    grey = probe(50, 50).convert("L")
    inputs = Preprocessor(hf.ViTImageProcessorPil())([grey], dtype=torch.bfloat16)
    assert (
        inputs["pixel_values"].shape == (1, 3, 224, 224)
        and inputs["pixel_values"].dtype == torch.bfloat16
    )
