"""From pictures to what a model eats, by one of two routes.

PIL pictures take the official image processor: nothing that anybody else would run differs. Tensors
take its differentiable version, so that gradients reach the pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from matboard.errors import PreprocessingMismatch
from matboard.models.capabilities import Pictures
from matboard.models.processors import check
from matboard.models.processors.differentiable import (
    WHOLE,
    DifferentiableProcessor,
    Layout,
)


class Preprocessor:
    """An official image processor and its differentiable version.

    Args:
        processor: the official image processor (PIL backend).
        layout: what it makes of a picture.
        settings: settings of it to replace, in a copy.
    """

    def __init__(
        self,
        processor: Any,
        layout: Layout = WHOLE,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.processor = copy.copy(processor)
        self.layout = layout
        for name, value in (settings or {}).items():
            setattr(self.processor, name, value)

    def __call__(
        self,
        images: Pictures,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """The model's picture inputs. Raises PreprocessingMismatch for a tensor where there is no
        faithful differentiable version.
        """
        if isinstance(images, Tensor):
            inputs = self.differentiable(images.to(device))
        else:
            inputs = check.official_inputs(self.processor, self.layout, images)
        return {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }

    @cached_property
    def differentiable(self) -> DifferentiableProcessor:
        """The differentiable version, compared with the official processor once. Raises
        PreprocessingMismatch.
        """
        return check.faithful(self.processor, self.layout)

    @cached_property
    def refusal(self) -> str | None:
        """Why no prompt can be learned through this processor, as a sentence; None where its
        differentiable version is faithful.
        """
        try:
            _ = self.differentiable
        except PreprocessingMismatch as mismatch:
            return str(mismatch)
        return None

    @cached_property
    def deviation(self) -> str | None:
        """How the two differ on a prompted canvas, as a sentence; None where they do not."""
        if self.refusal is not None:
            return None
        return check.deviation(self.differentiable, self.processor)
