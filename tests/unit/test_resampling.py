"""Resizing in torch is Pillow's, for every filter, at the hardest edges there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.models.processors.resampling import resize

NAMES = ["NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"]
SHAPES = [(60, 60), (75, 33), (33, 75)]
TARGETS = [(120, 120), (18, 18), (18, 113), (113, 18), (74, 25), (60, 30)]


@pytest.mark.parametrize("name", NAMES)
def test_resizing_is_pillows_within_its_rounding(name: str) -> None:
    resampling = Image.Resampling[name]
    rng = np.random.default_rng(0)
    for height, width in SHAPES:
        pixels = rng.integers(0, 2, (height, width, 3), np.uint8) * 255
        ours = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        for tall, wide in TARGETS:
            made = resize(ours, tall, wide, int(resampling))
            pillow = np.array(Image.fromarray(pixels).resize((wide, tall), resampling))
            theirs = torch.from_numpy(pillow).permute(2, 0, 1)[None].float() / 255
            levels = float((made - theirs).abs().max()) * 255
            assert levels <= 1.5, (height, width, tall, wide)
            assert made.min() >= 0 and made.max() <= 1


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = torch.rand(2, 3, 9, 7)
    assert resize(pixels, 9, 7, int(Image.Resampling.LANCZOS)) is pixels


def test_gradients_pass() -> None:
    pixels = (torch.rand(1, 3, 20, 20) * 0.2 + 0.4).requires_grad_()
    resize(pixels, 33, 11, int(Image.Resampling.BICUBIC)).sum().backward()
    assert pixels.grad is not None and (pixels.grad != 0).all()
