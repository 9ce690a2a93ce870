"""Vision-language models that take any eye.

* `PooledLlava`: LLaVA whose tokens are averaged over a small grid before the projector, so that a
  picture costs few tokens.
* `AnyEyeBlip2`, `AnyEyeInstructBlip`, `AnyEyeBliva`: transformers fixes the vision class of these
  three (a ViT without CLIP's first layer norm); here it is whatever ``vision_config`` names.
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerModel,
    Blip2VisionConfig,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipQFormerModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.configuration_utils import SubConfigSpec

from matboard.zoo.bliva import BlivaConfig, BlivaForConditionalGeneration


def grid_pool(
    tokens: Float[Tensor, "batch token dim"], grid: int
) -> Float[Tensor, "batch pooled dim"]:
    """Average tokens over ``grid × grid`` cells; where the count is one more than a square, the
    class token stays in front.
    """
    side = math.isqrt(tokens.shape[1])
    first, cells = tokens.split([tokens.shape[1] - side * side, side * side], dim=1)
    maps = cells.transpose(1, 2).unflatten(2, (side, side))
    return torch.cat(
        [first, functional.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2)],
        dim=1,
    )


def plain_norm(
    tokens: Float[Tensor, "batch token dim"],
) -> Float[Tensor, "batch token dim"]:
    """Layer norm without weights: the eye's few giant channels stop drowning the rest, and the
    eye's own weights stay as they were.
    """
    return functional.layer_norm(tokens, tokens.shape[-1:])


_ANY_EYE = {
    "vision_config": SubConfigSpec(
        config_class=AutoConfig, model_type="clip_vision_model"
    )
}


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class PooledLlavaConfig(LlavaConfig):  # type: ignore[misc]
    """LLaVA's configuration and the side of the grid its tokens are averaged over."""

    model_type = "pooled_llava"
    grid: int = 2


class PooledLlava(LlavaForConditionalGeneration):  # type: ignore[misc]
    """LLaVA (arXiv 2304.08485) with normalised, pooled tokens before the two-layer projector."""

    config_class = PooledLlavaConfig

    def __init__(self, config: PooledLlavaConfig) -> None:
        super().__init__(config)
        self.model.multi_modal_projector.register_forward_pre_hook(
            lambda _, args: (grid_pool(plain_norm(args[0]), config.grid),)
        )


class NormedQFormer(Blip2QFormerModel):  # type: ignore[misc]
    """BLIP-2's Q-Former behind an eye whose output is not normalised."""

    def forward(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """As BLIP-2's, on normalised eye tokens."""
        return super().forward(
            *args, encoder_hidden_states=plain_norm(encoder_hidden_states), **kwargs
        )


class NormedInstructQFormer(InstructBlipQFormerModel):  # type: ignore[misc]
    """InstructBLIP's Q-Former behind an eye whose output is not normalised."""

    def forward(self, *args: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        """As InstructBLIP's, on normalised eye tokens."""
        return super().forward(
            *args, encoder_hidden_states=plain_norm(encoder_hidden_states), **kwargs
        )


def _without_eye(config: Any) -> Any:
    """The configuration with a ViT of no layers, which the parent builds and we replace."""
    slim, width = copy.deepcopy(config), config.vision_config.hidden_size
    slim.vision_config = Blip2VisionConfig(
        hidden_size=width, num_hidden_layers=0, num_attention_heads=1, image_size=14
    )
    return slim


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeBlip2Config(Blip2Config):  # type: ignore[misc]
    """BLIP-2's configuration with any vision model."""

    model_type = "any_eye_blip_2"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **Blip2Config.sub_configs_defaults,
        **_ANY_EYE,
    }


class AnyEyeBlip2(Blip2ForConditionalGeneration):  # type: ignore[misc]
    """BLIP-2 (arXiv 2301.12597), and so MiniGPT-4, with any eye."""

    config_class = AnyEyeBlip2Config

    def __init__(self, config: AnyEyeBlip2Config) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedQFormer._from_config(config.qformer_config)
        self.post_init()


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeInstructBlipConfig(InstructBlipConfig):  # type: ignore[misc]
    """InstructBLIP's configuration with any vision model."""

    model_type = "any_eye_instructblip"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **InstructBlipConfig.sub_configs_defaults,
        **_ANY_EYE,
    }


class AnyEyeInstructBlip(InstructBlipForConditionalGeneration):  # type: ignore[misc]
    """InstructBLIP (arXiv 2305.06500) with any eye."""

    config_class = AnyEyeInstructBlipConfig

    def __init__(self, config: AnyEyeInstructBlipConfig) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedInstructQFormer._from_config(config.qformer_config)
        self.post_init()


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class AnyEyeBlivaConfig(BlivaConfig):
    """BLIVA's configuration with any vision model, and the side of the grid its patch tokens are
    averaged over.
    """

    model_type = "any_eye_bliva"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **BlivaConfig.sub_configs_defaults,
        **_ANY_EYE,
    }
    grid: int = 2

    @property
    def num_patch_tokens(self) -> int:
        """How many patch tokens follow the query tokens."""
        return self.grid**2


class AnyEyeBliva(BlivaForConditionalGeneration):
    """BLIVA (arXiv 2308.09936) with any eye; its patch tokens are the eye's last, normalised and
    pooled.
    """

    config_class = AnyEyeBlivaConfig

    def __init__(self, config: AnyEyeBlivaConfig) -> None:
        super().__init__(_without_eye(config))
        self.config = config
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.qformer = NormedInstructQFormer._from_config(config.qformer_config)
        self.post_init()

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """InstructBLIP's output with ``grid²`` projected patch tokens appended to
        ``pooler_output``.
        """
        out = InstructBlipForConditionalGeneration.get_image_features(
            self, *args, **{**kwargs, "return_dict": True}
        )
        pooled = grid_pool(plain_norm(out.last_hidden_state), self.config.grid)[
            :, -self.config.num_patch_tokens :
        ]
        out.pooler_output = torch.cat(
            [
                out.pooler_output,
                self.vision_project(pooled).to(out.pooler_output.dtype),
            ],
            dim=1,
        )
        return out
