"""Differentiable versions of the processors that pad, quarter, crop by share or count patches:
every setting that changes their arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from transformers.image_utils import SizeDict
from transformers.models.idefics2 import image_processing_pil_idefics2 as idefics2
from transformers.models.pixtral import image_processing_pil_pixtral as pixtral

from matboard.models.families import layout_of
from matboard.models.processors import geometry
from matboard.models.processors.check import (
    TOLERANCE,
    deviation,
    disagreement,
    faithful,
    official_inputs,
    probe,
    to_tensor,
)
from matboard.models.processors.differentiable import DifferentiableProcessor
from matboard.models.processors.preprocessor import Preprocessor

SIZES = ((224, 224), (90, 200), (301, 130), (500, 700), (61, 33))
MEAN = [0.485, 0.456, 0.406]

PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "idefics2": ("Idefics2", {}),
    "idefics2 quartered": ("Idefics2", {"do_image_splitting": True}),
    "idefics2 small": (
        "Idefics2",
        {"size": {"shortest_edge": 28, "longest_edge": 56}, "do_image_splitting": True},
    ),
    "idefics2 fixed": (
        "Idefics2",
        {"size": {"height": 70, "width": 42}, "do_pad": False},
    ),
    "idefics2 not resized": (
        "Idefics2",
        {"do_resize": False, "do_image_splitting": True},
    ),
    "pixtral": ("Pixtral", {}),
    "pixtral small": (
        "Pixtral",
        {"size": {"longest_edge": 56}, "patch_size": {"height": 7, "width": 7}},
    ),
    "pixtral oblong": (
        "Pixtral",
        {
            "size": {"height": 60, "width": 90},
            "patch_size": {"height": 10, "width": 15},
        },
    ),
    "pixtral cropped": (
        "Pixtral",
        {"do_center_crop": True, "crop_size": {"height": 48, "width": 64}},
    ),
    "convnext": ("ConvNext", {}),
    "convnext below 384": (
        "ConvNext",
        {
            "size": {"shortest_edge": 224},
            "crop_pct": 0.95,
            "resample": Image.Resampling.BILINEAR,
        },
    ),
    "convnext cropped": (
        "ConvNext",
        {
            "size": {"shortest_edge": 64},
            "do_center_crop": True,
            "crop_size": {"height": 50, "width": 70},
        },
    ),
    "efficientnet": ("EfficientNet", {}),
    "efficientnet as published": (
        "EfficientNet",
        {"image_mean": MEAN, "resample": 0, "size": {"height": 224, "width": 224}},
    ),
    "efficientnet offset": (
        "EfficientNet",
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False},
    ),
    "efficientnet only top, cropped": (
        "EfficientNet",
        {"do_normalize": False, "do_center_crop": True},
    ),
    "mllama": ("Mllama", {}),
    "mllama small": (
        "Mllama",
        {"size": {"height": 56, "width": 56}, "max_image_tiles": 6},
    ),
    "mllama one tile": (
        "Mllama",
        {"size": {"height": 448, "width": 448}, "max_image_tiles": 1},
    ),
    "siglip2": ("Siglip2", {}),
    "siglip2 small": ("Siglip2", {"patch_size": 7, "max_num_patches": 20}),
}


def processor_of(name: str) -> Any:
    family, settings = PROCESSORS[name]
    return getattr(hf, f"{family}ImageProcessorPil")(**settings)


@pytest.mark.parametrize("name", PROCESSORS)
def test_they_agree_with_the_official_processors_also_on_prompted_canvases(
    name: str,
) -> None:
    processor = processor_of(name)
    made = faithful(processor, layout_of(processor))
    for size in SIZES:
        assert disagreement(made, processor, probe(*size)) <= TOLERANCE, size
    assert deviation(made, processor) is None


@pytest.mark.parametrize("name", PROCESSORS)
def test_they_name_count_and_type_as_the_official_processors(name: str) -> None:
    processor = processor_of(name)
    pictures = [
        probe(90, 200),
        probe(90, 200).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    layout = layout_of(processor)
    official = official_inputs(processor, layout, pictures)
    ours = Preprocessor(processor, layout)(to_tensor(pictures))
    assert set(ours) == set(official)
    for key, value in official.items():
        assert (
            ours[key].shape == value.shape
            and ours[key].is_floating_point() == value.is_floating_point()
        )
        if not value.is_floating_point():
            assert torch.equal(ours[key].long(), value.long())


@pytest.mark.parametrize(
    "name", [name for name in PROCESSORS if "crop" not in name and "384" not in name]
)
def test_every_pixel_of_a_square_canvas_gets_a_gradient(name: str) -> None:
    canvas = (
        torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(0)) * 0.5
        + 0.25
    ).requires_grad_()
    processor = processor_of(name)
    values = DifferentiableProcessor(processor, layout_of(processor))(canvas)[
        "pixel_values"
    ]
    (
        values * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    ).sum().backward()
    assert canvas.grad is not None and (canvas.grad != 0).all()


def test_sizes_are_those_of_the_official_geometry() -> None:
    rng = np.random.default_rng(0)
    for height, width in rng.integers(5, 1500, (200, 2)).tolist():
        empty = np.broadcast_to(np.zeros(1, np.uint8), (3, height, width))
        edges = SizeDict(shortest_edge=378, longest_edge=980)
        assert geometry.between(
            height, width, 378, 980
        ) == idefics2.get_resize_output_image_size(empty, edges)
        for most, patch in (((1024, 1024), (16, 16)), ((300, 700), (14, 20))):
            theirs = pixtral.get_resize_output_image_size(
                empty, most, patch, "channels_first"
            )
            assert geometry.whole_patches(height, width, most, patch) == theirs
