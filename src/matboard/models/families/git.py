"""GIT (arXiv 2205.14100): the model itself puts the visual tokens in front of the text, and lets
them see one another.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from matboard.errors import ModelError
from matboard.models.families.family import Family
from matboard.models.vlm.fusion import Fusion, Prompts, VisionOutput, without_end


class Prefixed(Fusion):
    """Its forward takes pixels only. A copy of the model that shares every weight, its eye and
    projector taken out, takes visual tokens for pixels.
    """

    def __init__(self, model: Any) -> None:
        frames = model.config.num_image_with_embedding
        if frames is not None:
            raise ModelError(
                f"This GitForCausalLM reads videos of {frames} frames; expected one that reads a"
                " picture: it is not supported."
            )
        eye = model.git.image_encoder
        super().__init__(model, eye, _without_eye(model), [eye.forward])

    def encode(self, inputs: Mapping[str, Tensor]) -> VisionOutput:
        states = self.eye(**inputs).last_hidden_state
        projected = self.model.git.visual_projection(states)
        return VisionOutput(states, projected, projected)

    def opened(self, prompts: Prompts) -> Prompts:
        return without_end(prompts)

    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        tokens = prompts.visual.states.unsqueeze(1)  # four dimensions, as pixels have
        return {"input_ids": prompts.ids, "pixel_values": tokens}


class _Given(torch.nn.Module):
    """Stands where an eye stood and hands on what it is given."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=pixel_values.squeeze(1))


def _without_eye(model: Any) -> Any:
    language = copy.copy(model)
    language._modules = dict(model._modules)
    inner = copy.copy(model.git)
    inner._modules = dict(model.git._modules)
    inner.image_encoder = _Given()
    inner.visual_projection = torch.nn.Identity()
    language.git = inner
    return language


GIT = Family(
    models=("GitForCausalLM",),
    template="{question}",
    picture="",
    fusion=Prefixed,
)
