"""From pictures to what a model eats, by one of two routes.

PIL pictures take the official image processor: nothing that anybody else would run differs. Tensors
take its differentiable twin, so that gradients reach the pixels. The two are compared on smooth
pictures when a model is loaded: through a twin that differs nobody trains, because a prompt would
be learned for pixels that no deployed model ever sees.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from matboard.errors import PreprocessingMismatch
from matboard.models.capabilities import Pictures
from matboard.models.processors.differentiable import NESTED, Twin, layout_of

TOLERANCE = 2.0
"""Levels of 255 by which twin and official processor may differ on a smooth picture (guess: each
rounds once; most differ by 1.1).
"""

LANCZOS_TOLERANCE = 4.0
"""The same where bicubic stands in for Lanczos (guess; SmolVLM and Idefics 3 differ by 1.9 at 224
px, by 3.0 at 50 px).
"""

PROBES = ((224, 224), (160, 208))
"""Heights and widths of the pictures that a twin is checked on."""


class Preprocessor:
    """An official image processor and its twin.

    Args:
        processor: the official image processor (PIL backend).
        settings: settings of it to replace, in a copy.
    """

    def __init__(self, processor: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.processor = copy.copy(processor)
        for name, value in (settings or {}).items():
            setattr(self.processor, name, value)

    def __call__(
        self,
        images: Pictures,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """The model's picture inputs. Raises PreprocessingMismatch for a tensor where there is no
        faithful twin.
        """
        inputs = (
            self.twin(images.to(device))
            if isinstance(images, Tensor)
            else official_inputs(self.processor, images)
        )
        return {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }

    @cached_property
    def twin(self) -> Twin:
        """The processor's differentiable twin, compared with it once. Raises PreprocessingMismatch."""
        return twin(self.processor)

    @cached_property
    def refusal(self) -> str | None:
        """Why no prompt can be learned through this processor, as a sentence; None where its twin
        is faithful.
        """
        try:
            _ = self.twin
        except PreprocessingMismatch as mismatch:
            return str(mismatch)
        return None

    def warn(self, name: str) -> None:
        """Warn, at the place that loads the model ``name``, where no prompt can be learned on it."""
        if self.refusal is not None:
            warnings.warn(
                f"{name} was loaded for evaluation only, no prompt can be learned on it."
                f" {self.refusal}",
                stacklevel=3,
            )


def twin(processor: Any) -> Twin:
    """The differentiable twin of an official image processor, compared with it on smooth pictures.

    Raises:
        PreprocessingMismatch: the two differ by more than `TOLERANCE` levels of 255, in shape or in
            a count.
    """
    made = Twin(processor)
    allowed = TOLERANCE if made.exact else LANCZOS_TOLERANCE
    for height, width in PROBES:
        levels = disagreement(made, processor, probe(height, width))
        if levels > allowed:
            found = (
                "in form"
                if math.isinf(levels)
                else f"by {levels:.1f} levels of 255 (at most {allowed:g} are allowed)"
            )
            raise PreprocessingMismatch(
                f"The differentiable twin of {type(processor).__name__} differs from it {found} on"
                f" a smooth picture of {height}×{width}: refuse to train through it. Evaluating PIL"
                " pictures goes through the official processor and still works."
            )
    return made


def probe(height: int, width: int) -> Image.Image:
    """A smooth 8-bit colour picture without symmetry: two waves a channel."""
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    turns = ((1, 2, 0.3), (2, 1, 1.1), (1, 1, 2.0))
    waves = [
        np.sin(2 * np.pi * (a * y + b * x) + c) + np.cos(2 * np.pi * (b * y - a * x))
        for a, b, c in turns
    ]
    return Image.fromarray(np.round(127.5 + 55 * np.stack(waves, axis=-1)).astype(np.uint8))


def to_tensor(pictures: Sequence[Image.Image]) -> Float[Tensor, "batch 3 height width"]:
    """Equal-sized pictures as one tensor in [0, 1]."""
    return (
        torch.stack([torch.from_numpy(np.array(picture.convert("RGB"))) for picture in pictures])
        .permute(0, 3, 1, 2)
        .float()
        / 255
    )


def disagreement(twin: Twin, processor: Any, picture: Image.Image) -> float:
    """Largest difference between a twin and its processor in levels of 255; infinite where shapes,
    names or counts differ.
    """
    try:
        official = official_inputs(processor, [picture])
        mine = twin(to_tensor([picture]))
        black, one = (twin.normalise(torch.full((1, 3, 1, 1), value)) for value in (0.0, 1 / 255))
    except (
        Exception
    ):  # a processor may be anybody's code; a model whose processor fails here still loads
        return math.inf
    worst, level = 0.0, float((one - black).max())
    for name, value in official.items():
        if name not in mine and not value.any():
            continue
        if name not in mine or mine[name].shape != value.shape:
            return math.inf
        difference = float((mine[name] - value).abs().max())
        worst = max(
            worst,
            (
                difference / level
                if mine[name].is_floating_point()
                else math.inf
                if difference
                else 0.0
            ),
        )
    return worst


def official_inputs(processor: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """What the official processor makes of pictures, one a sample."""
    nested = [[picture.convert("RGB")] for picture in pictures]
    given = nested if layout_of(processor) in NESTED else [picture for (picture,) in nested]
    out: Mapping[str, Any] = processor(images=given, return_tensors="pt")
    return {
        name: value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        for name, value in out.items()
    }
