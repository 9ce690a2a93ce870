"""The comparison of an official image processor with its differentiable version.

A prompt learned through pixels that no deployed model ever sees is worth nothing. So the two are
compared when a model is loaded, on smooth pictures and on prompted canvases, whose hard edges tell
more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from matboard.errors import PreprocessingMismatch
from matboard.models.processors.differentiable import DifferentiableProcessor, Layout

TOLERANCE = 2.0
"""Levels of 255 by which the two may differ (guess: each pass of a resize rounds once; most differ
by 1.1).
"""

PROBES = ((224, 224), (160, 208))
"""Heights and widths of the smooth pictures that are compared."""

CANVAS = 224
BORDER = 30
"""The prompted canvas that is compared: the paper's size and width, in pixels."""


def faithful(processor: Any, layout: Layout) -> DifferentiableProcessor:
    """The differentiable version of an official image processor, compared with it on smooth
    pictures.

    Raises:
        PreprocessingMismatch: the two differ by more than `TOLERANCE` levels of 255, in shape or in
            a count.
    """
    made = DifferentiableProcessor(processor, layout)
    for height, width in PROBES:
        levels = disagreement(made, processor, probe(height, width))
        if levels > TOLERANCE:
            raise PreprocessingMismatch(
                f"matboard's differentiable version of {type(processor).__name__} differs from it"
                f" {_found(levels)} on a smooth picture of {height}×{width}: refuse to train"
                " through it. Evaluating PIL pictures goes through the official processor and"
                " still works."
            )
    return made


def deviation(made: DifferentiableProcessor, processor: Any) -> str | None:
    """How a prompt learned through it would differ from a deployed one, as a sentence; None where
    it would not.
    """
    levels = disagreement(made, processor, prompted())
    if levels <= TOLERANCE:
        return None
    return (
        f"On a prompted canvas matboard's differentiable version of {type(processor).__name__}"
        f" differs from it {_found(levels)}: what is learned through it is judged through slightly"
        " other pixels."
    )


def _found(levels: float) -> str:
    if math.isinf(levels):
        return "in form"
    return f"by {levels:.1f} levels of 255 (at most {TOLERANCE:g} are allowed)"


def probe(height: int, width: int) -> Image.Image:
    """A smooth 8-bit colour picture without symmetry: two waves a channel."""
    y, x = np.meshgrid(
        np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij"
    )
    turns = ((1, 2, 0.3), (2, 1, 1.1), (1, 1, 2.0))
    waves = [
        np.sin(2 * np.pi * (a * y + b * x) + c) + np.cos(2 * np.pi * (b * y - a * x))
        for a, b, c in turns
    ]
    levels = np.round(127.5 + 55 * np.stack(waves, axis=-1))
    return Image.fromarray(levels.astype(np.uint8))


def prompted(size: int = CANVAS, border: int = BORDER) -> Image.Image:
    """A prompted canvas: a smooth picture inside a border of noise, black and white at worst."""
    noise = np.random.default_rng(0).integers(0, 2, (size, size, 3), np.uint8) * 255
    canvas = Image.fromarray(noise)
    inner = size - 2 * border
    canvas.paste(probe(inner, inner), (border, border))
    return canvas


def to_tensor(pictures: Sequence[Image.Image]) -> Float[Tensor, "batch 3 height width"]:
    """Equal-sized pictures as one tensor in [0, 1]."""
    pixels = [
        torch.from_numpy(np.array(picture.convert("RGB"))) for picture in pictures
    ]
    return torch.stack(pixels).permute(0, 3, 1, 2).float() / 255


def disagreement(
    made: DifferentiableProcessor, processor: Any, picture: Image.Image
) -> float:
    """Largest difference between the two in levels of 255; infinite where shapes, names or counts
    differ.
    """
    try:
        official = official_inputs(processor, made.layout, [picture])
        mine = made(to_tensor([picture]))
        black = made.normalise(torch.zeros(1, 3, 1, 1))
        one = made.normalise(torch.full((1, 3, 1, 1), 1 / 255))
    except Exception:  # anybody's code; a model whose processor fails here still loads
        return math.inf
    level = float((one - black).max())
    differences = [
        _difference(mine.get(name), value, level) for name, value in official.items()
    ]
    return max(differences, default=0.0)


def _difference(mine: Tensor | None, official: Tensor, level: float) -> float:
    if mine is None:
        return math.inf if official.any() else 0.0
    if mine.shape != official.shape:
        return math.inf
    difference = float((mine - official).abs().max())
    if mine.is_floating_point():
        return difference / level
    return math.inf if difference else 0.0


def official_inputs(
    processor: Any, layout: Layout, pictures: Sequence[Image.Image]
) -> dict[str, Tensor]:
    """What the official processor makes of pictures, one a sample."""
    colour = [picture.convert("RGB") for picture in pictures]
    given = [[picture] for picture in colour] if layout.nested else colour
    out: Mapping[str, Any] = processor(images=given, return_tensors="pt")
    return {name: _tensor(value) for name, value in out.items()}


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
