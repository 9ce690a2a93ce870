"""The mini zoo's models as configurations: which eye, which connector, which language model, and
how each is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerFast
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from matboard.zoo import any_eye, architectures, efficientnet
from matboard.zoo.parts import clip_config

IMAGE_TOKEN = "<image>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{start}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %} {{ part['text'] }}{% endfor %}"
    "{% endfor %}"
)
"""Start, picture, a space, the question; the answer follows after another space."""
START = "<s>"
SMOL_START = "<|im_start|>user\nImage:"
"""SmolLM2 needs words before the picture to read it: with the embedding of a class's name in place
of the picture it names the right one of CIFAR-10's ten classes in 1.0 of cases after these words
and in 0.1 when the picture comes first (measured, see docs/log.md).
"""

_SMALL_LANGUAGE = {
    "model_type": "llama",
    "hidden_size": 160,
    "intermediate_size": 432,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "attention_dropout": 0.1,
    "initializer_range": 0.06,
}
_QFORMER = {
    "hidden_size": 160,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "cross_attention_frequency": 1,
}
"""Guesses that keep each connector with its language model under three million parameters."""


@dataclass(frozen=True)
class Shape:
    """One model of the mini zoo.

    Attributes:
        architecture: ``llava``, ``minigpt4``, ``instructblip`` or ``bliva``.
        eye: ``clip112``, ``clip224`` or ``cnn``.
        smol: speaks through frozen SmolLM2-135M; otherwise through a small language model trained
            with the connector.
    """

    architecture: str
    eye: str
    smol: bool = False

    @property
    def asks_qformer(self) -> bool:
        """Whether the Q-Former reads the question."""
        return self.architecture in ("instructblip", "bliva")

    @property
    def eye_prefix(self) -> str:
        """Where the eye's weights are in the model's state."""
        return (
            "model.vision_tower." if self.architecture == "llava" else "vision_model."
        )

    @property
    def language_prefix(self) -> str:
        """Where the language model's weights are in the model's state."""
        return (
            "model.language_model."
            if self.architecture == "llava"
            else "language_model."
        )


SHAPES: dict[str, Shape] = {
    "mini-llava-clip112": Shape("llava", "clip112", smol=True),
    "mini-llava-cnn": Shape("llava", "cnn", smol=True),
    "mini-instructblip-clip112": Shape("instructblip", "clip112"),
    "mini-minigpt4-clip224": Shape("minigpt4", "clip224"),
    "mini-bliva-cnn": Shape("bliva", "cnn"),
}


def configuration(
    shape: Shape,
    eye: PreTrainedConfig,
    language: PreTrainedConfig | None,
    tokenizer: PreTrainedTokenizerFast,
) -> Any:
    """The model's configuration.

    Args:
        eye: the eye's.
        language: SmolLM2's, or None for the small language model.
        tokenizer: whose ``<image>`` is the placeholder.
    """
    architectures.register()  # a configuration names its eye's by type
    placeholder = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    common: dict[str, Any] = {
        "vision_config": eye.to_dict(),
        "text_config": _text_config(language, tokenizer),
        "image_token_index": placeholder,
    }
    if shape.architecture == "llava":
        return any_eye.PooledLlavaConfig(
            **common,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
        )
    qformer = {**_QFORMER, "max_position_embeddings": 64, "initializer_range": 0.06}
    if shape.asks_qformer:
        qformer["vocab_size"] = len(tokenizer)
    if (
        shape.eye == "cnn"
    ):  # its 1280 channels make cross-attention dear: one layer of it
        qformer |= {"cross_attention_frequency": 2, "intermediate_size": 224}
    kind = {
        "minigpt4": any_eye.AnyEyeBlip2Config,
        "instructblip": any_eye.AnyEyeInstructBlipConfig,
        "bliva": any_eye.AnyEyeBlivaConfig,
    }
    return kind[shape.architecture](
        **common, qformer_config=qformer, num_query_tokens=4
    )


def _text_config(
    language: PreTrainedConfig | None, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    if language is not None:
        return dict(language.to_dict())
    ids = {
        key: getattr(tokenizer, key)
        for key in ("pad_token_id", "bos_token_id", "eos_token_id")
    }
    return {**_SMALL_LANGUAGE, "vocab_size": len(tokenizer), **ids}


def image_processor(eye: str) -> dict[str, Any]:
    """The eye's ``preprocessor_config.json``: square, bicubic; CLIP's own statistics, or
    EfficientNet-Lite's (x − 127) / 128.
    """
    side = 112 if eye == "clip112" else 224
    mean, spread = OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
    if eye == "cnn":
        mean = [127 / 255] * 3
        spread = [128 / 255] * 3
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": mean,
        "image_std": spread,
        "resample": 3,
        "do_resize": True,
        "do_center_crop": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
    }


def eye_config(name: str) -> PreTrainedConfig:
    """CLIP ViT-B/16's image tower at 112 or 224 pixels, or EfficientNet-Lite0."""
    if name == "cnn":
        return efficientnet.EfficientNetLiteConfig()
    return clip_config(int(name.removeprefix("clip")))
