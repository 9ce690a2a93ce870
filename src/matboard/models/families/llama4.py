"""Llama 4: the eye's tokens are projected inside the language model's forward, not behind the eye.

What stands between the tiles of a picture only transformers' Llama4Processor says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from matboard.models.families.family import Family
from matboard.models.vlm.fusion import Placed


class ProjectedLater(Placed):
    """The projected tokens are added to the eye's output; the language model projects once more."""

    def encode(self, inputs: Mapping[str, Tensor]) -> Any:
        output = super().encode(inputs)
        states = output.last_hidden_state
        flat = states.reshape(-1, states.shape[-1])
        output.pooler_output = self.model.multi_modal_projector(flat)
        return output


LLAMA4 = Family(
    models=("Llama4ForConditionalGeneration",),
    written=False,
    fusion=ProjectedLater,
)
