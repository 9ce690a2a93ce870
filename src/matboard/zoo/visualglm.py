"""VisualGLM (THUDM/visualglm-6b): BLIP-2's eye and Q-Former before ChatGLM-6B.

Its Q-Former, published under SwissArmyTransformer's names, is BLIP-2's: what it calls the norm at a
layer's beginning BLIP-2 calls the one at the end of the layer before.
"""

from __future__ import annotations

from typing import Any, no_type_check

from transformers import Blip2Config, Blip2ForConditionalGeneration


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class VisualGlmConfig(Blip2Config):  # type: ignore[misc]
    """BLIP-2's configuration around a `matboard.zoo.chatglm.ChatGlmConfig`."""

    model_type = "visualglm"

    def __post_init__(self, **settings: Any) -> None:
        super().__post_init__(**settings)
        self.use_decoder_only_language_model = True


class VisualGlmForConditionalGeneration(Blip2ForConditionalGeneration):  # type: ignore[misc]
    """The prompt ends in ``[gMASK]<sop>``; behind an answer too, ``context_lengths`` says where."""

    config_class = VisualGlmConfig
