"""A transformers folder out of THUDM/visualglm-6b.

Its eye and Q-Former lie there under SwissArmyTransformer's names: an attention's query, key and
value as one map, a Q-Former's norms at the beginning of layers instead of at their ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from pydantic import BaseModel, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from matboard.disk import read_regular
from matboard.errors import HubError, ModelError, first_line
from matboard.extras import require
from matboard.hub import fetch
from matboard.wording import wrong
from matboard.zoo.chatglm import ChatGlmConfig
from matboard.zoo.ice_words import BEGIN, CONTEXT_END, END, IceTokenizer
from matboard.zoo.published import files
from matboard.zoo.published.convert import Progress, write_folder
from matboard.zoo.published.gather import account_for
from matboard.zoo.published.names import Shape
from matboard.zoo.published.sizes import PUBLISHED, Sizes
from matboard.zoo.published.words import IMAGE
from matboard.zoo.visualglm import VisualGlmConfig, VisualGlmForConditionalGeneration

TITLE = "VisualGLM-6B"
_WORDS = "ice_text.model"
_MOST_JSON = 2**20


class Told(BaseModel):
    """What its ``config.json`` says of the language model."""

    vocab_size: PositiveInt
    hidden_size: PositiveInt
    inner_hidden_size: PositiveInt
    num_layers: PositiveInt
    num_attention_heads: PositiveInt
    max_sequence_length: PositiveInt
    layernorm_epsilon: PositiveFloat
    bos_token_id: int
    eos_token_id: int
    gmask_token_id: int
    pad_token_id: int
    position_encoding_2d: bool = True
    quantization_bit: int = 0
    pre_seq_len: int | None = None

    def language(self) -> ChatGlmConfig:
        """Under transformers' names."""
        return ChatGlmConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.inner_hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_attention_heads,
            max_position_embeddings=self.max_sequence_length,
            layer_norm_eps=self.layernorm_epsilon,
            bos_token_id=self.bos_token_id,
            eos_token_id=self.eos_token_id,
            pad_token_id=self.pad_token_id,
        )


def convert_visualglm(
    place: str,
    out: Path,
    *,
    sizes: Sizes | None = None,
    progress: Progress = lambda _: None,
) -> Path:
    """Write a folder that transformers loads once `matboard.zoo.architectures.register` was called,
    or leave nothing behind. Every tensor keeps the precision that it was published in.

    Args:
        place: folder or Hub id of what THUDM/visualglm-6b holds.
        out: the folder; it must not exist.
        sizes: of eye and Q-Former; the published ones unless given.

    Raises:
        ModelError: a part cannot be had, or does not fit; the sentence names it.
        MissingExtra: sentencepiece is not installed.
    """
    require("sentencepiece")
    from matboard.zoo import architectures

    architectures.register()
    shape = sizes or PUBLISHED

    def make(fresh: Path) -> None:
        folder = _small_files(place)
        told = _told(folder / "config.json")
        words = _words(folder / _WORDS, told)
        config = VisualGlmConfig(
            vision_config=shape.eye(),
            qformer_config=shape.qformer(),
            text_config=told.language().to_dict(),
            num_query_tokens=shape.queries,
            image_token_index=words.convert_tokens_to_ids(IMAGE),
        )
        with torch.device("meta"):
            model = VisualGlmForConditionalGeneration(config)
        progress(f"reading {place}")
        model.load_state_dict(_weights(model, place), assign=True)
        model.generation_config = hf.GenerationConfig(
            bos_token_id=told.bos_token_id,
            eos_token_id=told.eos_token_id,
            pad_token_id=told.pad_token_id,
        )
        progress(f"writing {out}")
        model.save_pretrained(fresh)
        _processor(words, shape).save_pretrained(fresh)

    return write_folder(out, make)


def _small_files(place: str) -> Path:
    """A folder that holds configuration and words."""
    if Path(place).is_dir():
        return Path(place)
    try:
        return fetch(place, ["config.json", _WORDS])
    except HubError as error:
        raise ModelError(
            f"{place!r} is no folder here, and the Hugging Face Hub did not give it: {error}."
            " Expected what THUDM/visualglm-6b holds."
        ) from error


def _told(file: Path) -> Told:
    try:
        told = Told.model_validate(json.loads(read_regular(file, _MOST_JSON)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "it"
        said = "it is missing" if first["type"] == "missing" else wrong(first)
        raise ModelError(
            f"{file} is not the configuration of {TITLE}: {key}: {said}."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read ({first_line(error)}); expected the configuration of {TITLE}."
        ) from error
    if told.quantization_bit or told.pre_seq_len or not told.position_encoding_2d:
        raise ModelError(
            f"{file} describes a variant that cannot be converted: expected quantization_bit 0,"
            " no pre_seq_len, position_encoding_2d true, as THUDM/visualglm-6b has them."
        )
    return told


def _words(file: Path, told: Told) -> IceTokenizer:
    """Its tokenizer, and a place for pictures behind its words, where the head has spare rows."""
    try:
        words = IceTokenizer(str(file))
    except (OSError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"{file} cannot be read ({first_line(error)[:200]}); expected the SentencePiece model"
            f" of {TITLE}."
        ) from error
    wanted = {
        BEGIN: told.bos_token_id,
        END: told.eos_token_id,
        CONTEXT_END: told.gmask_token_id,
        "<pad>": told.pad_token_id,
    }
    for word, number in wanted.items():
        own = words.convert_tokens_to_ids(word)
        if own != number:
            raise ModelError(
                f"{word} is word {own} of {file}, and {number} by config.json; they do not belong"
                " together. Give both as THUDM/visualglm-6b holds them."
            )
    if words.vocab_size >= told.vocab_size:
        raise ModelError(
            f"{file} has {words.vocab_size} words, and the model {told.vocab_size}: there is no"
            " spare one to stand for pictures."
        )
    words.add_tokens([IMAGE], special_tokens=True)
    return words


def _processor(words: IceTokenizer, sizes: Sizes) -> Any:
    """Its image processor is LAVIS's ``blip_image_eval``."""
    square = {"height": sizes.side, "width": sizes.side}
    pictures = hf.BlipImageProcessorPil(size=square)
    return hf.Blip2Processor(pictures, words, num_query_tokens=sizes.queries)


# Tensors
# ------------------------------------------------------------------------------------------------

_EYE, _QFORMER = "image_encoder.vit.", "image_encoder.qformer.transformer."
_RENAMED = (
    (r"^language_model\.", ""),
    (r"^language_projection\.", "image_encoder.glm_proj."),
    (r"^query_tokens$", f"{_QFORMER}word_embeddings.weight"),
    (r"^qformer\.layernorm\.", f"{_QFORMER}layers.0.input_layernorm."),
    (r"^qformer\.encoder\.layer\.", f"{_QFORMER}layers."),
    (r"\.attention\.attention\.(query|key|value)\.", ".attention.query_key_value."),
    (r"\.crossattention\.attention\.(key|value)\.", ".cross_attention.key_value."),
    (r"\.crossattention\.attention\.query\.", ".cross_attention.query."),
    (r"\.crossattention\.output\.LayerNorm\.", ".post_cross_attention_layernorm."),
    (r"\.crossattention\.output\.dense\.", ".cross_attention.dense."),
    (r"\.attention\.output\.LayerNorm\.", ".post_attention_layernorm."),
    (r"\.attention\.output\.dense\.", ".attention.dense."),
    (r"\.intermediate_query\.dense\.", ".mlp.dense_h_to_4h."),
    (r"\.output_query\.dense\.", ".mlp.dense_4h_to_h."),
    (r"^vision_model\.post_layernorm\.", f"{_EYE}mixins.cls.ln_vision."),
    (
        r"^vision_model\.embeddings\.patch_embedding\.",
        f"{_EYE}mixins.patch_embedding.proj.",
    ),
    (
        r"^vision_model\.embeddings\.class_embedding$",
        f"{_EYE}transformer.word_embeddings.weight",
    ),
    (
        r"^vision_model\.embeddings\.position_embedding$",
        f"{_EYE}transformer.position_embeddings.weight",
    ),
    (r"^vision_model\.encoder\.layers\.", f"{_EYE}transformer.layers."),
    (r"\.layer_norm1\.", ".input_layernorm."),
    (r"\.layer_norm2\.", ".post_attention_layernorm."),
    (r"\.self_attn\.qkv\.", ".attention.query_key_value."),
    (r"\.self_attn\.projection\.", ".attention.dense."),
    (r"\.mlp\.fc1\.", ".mlp.dense_h_to_4h."),
    (r"\.mlp\.fc2\.", ".mlp.dense_4h_to_h."),
)
_LAST_NORM = re.compile(
    rf"^({re.escape(_QFORMER)})layers\.(\d+)\.output_query\.LayerNorm\."
)
_BATCHED = ("query_tokens", "class_embedding", "position_embedding")
"""These have a batch dimension here, and none there."""


@dataclass(frozen=True)
class Joined:
    """A published tensor.

    Attributes:
        ours: the parameters that it holds, one behind the other.
        shape: of it.
        each: of one of them.
    """

    ours: tuple[str, ...]
    shape: Shape
    each: Shape

    def parts(self, tensor: Tensor) -> dict[str, Tensor]:
        """Its parameters."""
        pieces = tensor.chunk(len(self.ours))
        return {
            name: piece.reshape(self.each).contiguous()
            for name, piece in zip(self.ours, pieces, strict=True)
        }


def _weights(model: Any, place: str) -> dict[str, Tensor]:
    """The model's parameters. Raises ModelError that names every tensor that is not as expected."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    left = published(shapes)
    held = files.read(place, lambda name: not name.endswith(".rotary_emb.inv_freq"))
    state: dict[str, Tensor] = {}
    strange: dict[str, Shape] = {}
    misshapen = []
    for name, tensor in held.items():
        want, shape = left.pop(name, None), tuple(tensor.shape)
        if want is None:
            strange[f"{name} of {place}"] = shape
        elif want.shape != shape:
            misshapen.append(
                f"{name} of {place} has shape {shape}, expected {want.shape}"
            )
        else:
            state |= want.parts(tensor)
    missing = {"--checkpoint": {name: want.shape for name, want in left.items()}}
    account_for(TITLE, misshapen, missing, strange)
    return state


def published(shapes: Mapping[str, Shape]) -> dict[str, Joined]:
    """Published name → which parameters it holds; they come in the model's own order, the query
    before the key before the value.
    """
    names: dict[str, list[str]] = {}
    for ours in shapes:
        names.setdefault(_published(ours, shapes), []).append(ours)
    found = {}
    for name, parts in names.items():
        each = shapes[parts[0]]
        flat = each[1:] if parts[0].endswith(_BATCHED) else each
        whole = (flat[0] * len(parts), *flat[1:])
        found[name] = Joined(tuple(parts), whole, each)
    return found


def _published(ours: str, shapes: Mapping[str, Shape]) -> str:
    name = ours
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    norm = _LAST_NORM.match(name)
    if norm is None:
        return name
    after = int(norm[2]) + 1
    there = f"qformer.encoder.layer.{after}.output_query.LayerNorm.weight" in shapes
    home = f"layers.{after}.input_layernorm." if there else "final_layernorm."
    return f"{norm[1]}{home}{name[norm.end() :]}"
