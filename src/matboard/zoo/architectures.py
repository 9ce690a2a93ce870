"""The model classes that transformers lacks, made known to it."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoTokenizer,
)

from matboard.zoo.any_eye import (
    AnyEyeBlip2,
    AnyEyeBlip2Config,
    AnyEyeBliva,
    AnyEyeBlivaConfig,
    AnyEyeInstructBlip,
    AnyEyeInstructBlipConfig,
    PooledLlava,
    PooledLlavaConfig,
)
from matboard.zoo.bliva import BlivaConfig, BlivaForConditionalGeneration
from matboard.zoo.caption_clip import CaptionClip, CaptionClipConfig
from matboard.zoo.chatglm import ChatGlmConfig, ChatGlmForCausalLM
from matboard.zoo.efficientnet import (
    EfficientNetLite,
    EfficientNetLiteConfig,
    EfficientNetLiteForImageClassification,
)
from matboard.zoo.ice_words import IceTokenizer
from matboard.zoo.visualglm import VisualGlmConfig, VisualGlmForConditionalGeneration

MODELS: dict[Any, Any] = {
    BlivaConfig: BlivaForConditionalGeneration,
    PooledLlavaConfig: PooledLlava,
    AnyEyeBlip2Config: AnyEyeBlip2,
    AnyEyeInstructBlipConfig: AnyEyeInstructBlip,
    AnyEyeBlivaConfig: AnyEyeBliva,
    VisualGlmConfig: VisualGlmForConditionalGeneration,
}
"""Configuration → model."""


def register() -> None:
    """Make them known to transformers' Auto classes; more than once does no harm."""
    AutoConfig.register(
        EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True
    )
    AutoModel.register(EfficientNetLiteConfig, EfficientNetLite, exist_ok=True)
    AutoModelForImageClassification.register(
        EfficientNetLiteConfig, EfficientNetLiteForImageClassification, exist_ok=True
    )
    AutoConfig.register(CaptionClipConfig.model_type, CaptionClipConfig, exist_ok=True)
    AutoModel.register(CaptionClipConfig, CaptionClip, exist_ok=True)
    AutoConfig.register(ChatGlmConfig.model_type, ChatGlmConfig, exist_ok=True)
    AutoModelForCausalLM.register(ChatGlmConfig, ChatGlmForCausalLM, exist_ok=True)
    AutoTokenizer.register(VisualGlmConfig, IceTokenizer, exist_ok=True)
    for config, model in MODELS.items():
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForImageTextToText.register(config, model, exist_ok=True)
