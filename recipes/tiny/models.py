"""The tiny zoo's models with fresh weights: the paper's six architectures in small, and a guide.

Each is an ordinary transformers folder. Four share one eye, trained once and frozen after, as the
paper's six share EVA-CLIP; tiny-blip2 and tiny-visualglm have eyes of their own, of another
resolution, patch size and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel

from matboard.tasks import scenes
from matboard.zoo import architectures
from matboard.zoo.bliva import BlivaConfig, BlivaForConditionalGeneration
from matboard.zoo.published.wrapping import MINIGPT4, VISUALGLM
from recipes.tiny.pictures import TOPICS

_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<image>")
PAD, UNK, BOS, EOS, IMAGE = range(len(_SPECIAL))
QUERIES = len(TOPICS)
"""Query tokens of every Q-Former (the paper's have 32)."""


@dataclass(frozen=True)
class Eye:
    """Shape of a vision encoder: side and patch in pixels, width in channels."""

    side: int
    patch: int
    width: int


@dataclass(frozen=True)
class Recipe:
    """How one model is made: its classes, its eye (whose, where it is shared), its language model,
    how it is asked.

    ``start`` names the model whose parts it starts from, as BLIVA starts from InstructBLIP.
    ``words_first``: its language model learns from words alone, and stays as it is while an eye is
    joined to it, as BLIP-2's does; then both learn together.
    """

    family: str
    eye: Eye
    text: dict[str, Any]
    seed: int
    template: str | None = None
    eye_of: str | None = None
    start: str | None = None
    words_first: bool = False


_TIED = {
    "num_attention_heads": 4,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}
_LLAMA = {
    **_TIED,
    "model_type": "llama",
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
}
_SLOW_LLAMA = {
    **_LLAMA,
    "attention_bias": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
}
"""Positions that turn slowly: a guess at why presence was learned with them and not without; see
docs/log.md.
"""
_DEEP_LLAMA = {
    **_SLOW_LLAMA,
    "hidden_size": 80,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
}
_GLM = {**_LLAMA, "model_type": "glm", "num_key_value_heads": 2, "head_dim": 24}
_T5 = {
    "model_type": "t5",
    "d_model": 96,
    "d_kv": 24,
    "d_ff": 192,
    "num_layers": 2,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "decoder_start_token_id": PAD,
}
_QFORMER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "cross_attention_frequency": 1,
    "initializer_range": 0.1,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 64,
}
_GUIDE_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
}
_SHARED = Eye(side=60, patch=10, width=80)

RECIPES = {
    "tiny-minigpt4": Recipe("blip-2", _SHARED, _SLOW_LLAMA, 1, MINIGPT4),
    "tiny-instructblip": Recipe(
        "instructblip", _SHARED, _LLAMA, 2, eye_of="tiny-minigpt4"
    ),
    "tiny-vpgtrans": Recipe(
        "blip-2", _SHARED, _DEEP_LLAMA, 3, MINIGPT4, "tiny-minigpt4"
    ),
    "tiny-bliva": Recipe(
        "bliva", _SHARED, _LLAMA, 4, eye_of="tiny-minigpt4", start="tiny-instructblip"
    ),
    "tiny-blip2": Recipe(
        "blip-2", Eye(side=72, patch=9, width=96), _T5, 5, words_first=True
    ),
    "tiny-visualglm": Recipe(
        "blip-2", Eye(side=56, patch=8, width=72), _GLM, 6, VISUALGLM
    ),
}
GUIDE = "tiny-guide"
GUIDE_EYE = Eye(side=60, patch=10, width=80)
NAMES = (*RECIPES, GUIDE)

_CLASSES = {
    "blip-2": (transformers.Blip2Config, transformers.Blip2ForConditionalGeneration),
    "instructblip": (
        transformers.InstructBlipConfig,
        transformers.InstructBlipForConditionalGeneration,
    ),
    "bliva": (BlivaConfig, BlivaForConditionalGeneration),
}


def tokenizer(ends: str = "<s> $A", template: str | None = None) -> Any:
    """Every lower-case word of ``scenes`` and every mark of the templates.

    Args:
        ends: which of <s> and </s> a text gets.
    """
    table = {word: number for number, word in enumerate([*_SPECIAL, *sorted(_words())])}
    core = Tokenizer(WordLevel(table, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single=ends, special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )
    image = AddedToken("<image>", normalized=False, special=True)
    made.add_tokens([image], special_tokens=True)
    made.chat_template = template
    return made


def _words() -> set[str]:
    wordings = " ".join(
        wording for wordings in scenes.WORDINGS.values() for wording in wordings
    )
    names = " ".join((*scenes.SHAPES, *scenes.COLOURS, *scenes.NUMBERS))
    text = (
        f"{wordings} {names} no yes and shape shapes colour ###Human: <Img></Img> ###Assistant:"
        " <img></img> Q: A: . ? , </"
    )
    return {
        word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text.lower())
    }


def build(recipe: Recipe) -> tuple[Any, Any]:
    """(model with fresh weights, its processor)."""
    torch.manual_seed(recipe.seed)
    ends = "$A </s>" if recipe.text["model_type"] == "t5" else "<s> $A"
    words = tokenizer(ends, recipe.template)
    configure, make = _CLASSES[recipe.family]
    config = configure(
        vision_config=_tower(recipe.eye),
        qformer_config={**_QFORMER, "vocab_size": len(words), "pad_token_id": PAD},
        text_config={**recipe.text, **_vocabulary(words)},
        num_query_tokens=QUERIES,
        image_token_index=IMAGE,
    )
    model = make(config)
    torch.nn.init.normal_(model.query_tokens)
    size = {"height": recipe.eye.side, "width": recipe.eye.side}
    pictures = transformers.BlipImageProcessorPil(size=size)
    slots = getattr(config, "num_image_tokens", QUERIES)
    if recipe.family == "blip-2":
        return model, transformers.Blip2Processor(
            pictures, words, num_query_tokens=slots
        )
    asking = tokenizer()
    return model, transformers.InstructBlipProcessor(
        pictures, words, asking, num_query_tokens=slots
    )


def build_guide() -> tuple[Any, Any]:
    """(CLIP with fresh weights, its processor)."""
    torch.manual_seed(7)
    words = tokenizer("<s> $A </s>")
    config = transformers.CLIPConfig(
        text_config={**_GUIDE_TEXT, **_vocabulary(words)},
        vision_config=_tower(GUIDE_EYE),
        projection_dim=64,
    )
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": GUIDE_EYE.side},
        crop_size={"height": GUIDE_EYE.side, "width": GUIDE_EYE.side},
    )
    return transformers.CLIPModel(config), transformers.CLIPProcessor(pictures, words)


def _vocabulary(words: Any) -> dict[str, int]:
    return {
        "vocab_size": len(words),
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }


def _tower(eye: Eye) -> dict[str, Any]:
    return {
        "image_size": eye.side,
        "patch_size": eye.patch,
        "hidden_size": eye.width,
        "intermediate_size": 2 * eye.width,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "initializer_range": 0.02,
    }


def load(path: Path) -> tuple[Any, Any]:
    """(model in eval mode, its official processor) from a folder that ``train`` wrote."""
    architectures.register()
    model = transformers.AutoModelForImageTextToText.from_pretrained(path).eval()
    return model, transformers.AutoProcessor.from_pretrained(path)
