"""The mini guide: CLIP's image tower, a sentence encoder and a linear map into CLIP's space."""

from __future__ import annotations

from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    BertModel,
    CLIPVisionModelWithProjection,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.configuration_utils import SubConfigSpec


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class CaptionClipConfig(PreTrainedConfig):  # type: ignore[misc]
    """An image tower and a sentence encoder."""

    model_type = "caption_clip"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "vision_config": SubConfigSpec(
            config_class=AutoConfig, model_type="clip_vision_model"
        ),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }
    vision_config: Any = None
    text_config: Any = None


class CaptionClip(PreTrainedModel):  # type: ignore[misc]
    """CLIP's image tower beside MiniLM and a linear map; ``logit_scale`` is OpenAI's, ln 100 (arXiv
    2103.00020 §2.5).
    """

    config_class = CaptionClipConfig
    main_input_name = "pixel_values"

    def __init__(self, config: CaptionClipConfig) -> None:
        super().__init__(config)
        self.vision = CLIPVisionModelWithProjection._from_config(config.vision_config)
        self.text = BertModel._from_config(config.text_config, add_pooling_layer=False)
        self.head = nn.Linear(
            config.text_config.hidden_size, config.vision_config.projection_dim
        )
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.post_init()

    @property
    def vision_model(self) -> nn.Module:
        """The image tower without its projection."""
        tower: nn.Module = self.vision.vision_model
        return tower

    def get_image_features(
        self, pixel_values: Float[Tensor, "batch 3 height width"], **_: Any
    ) -> Float[Tensor, "batch dim"]:
        """CLIP's picture embeddings, not normalised."""
        features: Tensor = self.vision(pixel_values=pixel_values).image_embeds
        return features

    def get_text_features(
        self,
        input_ids: Int[Tensor, "batch token"],
        attention_mask: Int[Tensor, "batch token"],
        **_: Any,
    ) -> Float[Tensor, "batch dim"]:
        """Captions in CLIP's space, not normalised."""
        features: Tensor = self.head(sentence(self.text, input_ids, attention_mask))
        return features


def sentence(
    encoder: Any,
    input_ids: Int[Tensor, "batch token"],
    attention_mask: Int[Tensor, "batch token"],
) -> Float[Tensor, "batch dim"]:
    """MiniLM's sentence embedding: the mean of its token outputs, unit length."""
    hidden = encoder(
        input_ids=input_ids, attention_mask=attention_mask
    ).last_hidden_state
    weight = attention_mask[..., None].to(hidden.dtype)
    return functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
