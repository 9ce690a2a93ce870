"""The language side of a vision-language model: from encoded pictures and token ids to logits.

Prompts are padded on the left and answers on the right, so that every answer of a batch starts in
the same column: the head is applied to answer columns only, and the keys and values of a prompt
serve all its candidate answers. An encoder-decoder's prompts are padded on the right (its encoder
may count positions from the start); its decoder never pads on the left.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from matboard.models.families import Family
from matboard.models.vlm.fusion import Asked, Joint
from matboard.models.vlm.prompt import padded


@dataclass(frozen=True)
class Heard:
    """A prompt that has been read.

    Attributes:
        logits: of the first answer token, ``batch vocabulary``.
        cache: keys and values; never handed to the model itself where it is needed again.
        mask: ``batch token``.
        position: of the first answer token.
        memory: what the language model is given again with every later token, ``batch …``.
    """

    logits: Tensor
    cache: Any
    mask: Tensor
    position: Tensor
    memory: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def row_bytes(self) -> int:
        """Memory of one row's keys and values."""
        return sum(
            part.nbytes
            for keys_and_values in self.cache
            for part in keys_and_values
            if isinstance(part, Tensor)
        ) // len(self.mask)

    def rows(self, index: Tensor) -> Heard:
        """A copy made of some of the rows; rows may repeat."""
        memory = {name: value[index] for name, value in self.memory.items()}
        return Heard(
            self.logits[index],
            _select(self.cache, index),
            self.mask[index],
            self.position[index],
            memory,
        )


class Speaker(ABC):
    """How one kind of language model is driven.

    Args:
        joint: the model's parts.
        family: its token types and first position.
    """

    padding = "left"

    def __init__(self, joint: Joint, family: Family) -> None:
        self.joint, self.model, self.language, self.family = (
            joint,
            joint.model,
            joint.language,
            family,
        )
        self.slices = "logits_to_keep" in inspect.signature(self.language.forward).parameters

    @abstractmethod
    def score(self, asked: Asked, answers: Sequence[Sequence[int]]) -> Tensor:
        """Logits that predict each answer token, ``batch token vocabulary``, in one pass; padded on
        the right.
        """

    @abstractmethod
    def hear(self, asked: Asked) -> Heard:
        """Read the prompts."""

    @abstractmethod
    def go_on(self, heard: Heard, ids: Tensor, mask: Tensor) -> tuple[Tensor, Heard]:
        """Logits after each of the given tokens, and the prompt with them. Uses up ``heard.cache``."""


class Causal(Speaker):
    """A decoder: prompt and answer are one sequence."""

    def score(self, asked: Asked, answers: Sequence[Sequence[int]]) -> Tensor:
        asked = self.joint.begin(asked)
        ids, mask = padded([answer[:-1] for answer in answers], "right", asked.ids.device)
        positions = self._positions(asked)
        joined = torch.cat(
            [positions, self._onwards(_next(positions, asked.mask), ids.shape[1])], dim=-1
        )
        whole = Asked(
            torch.cat([asked.ids, ids], 1),
            torch.cat([asked.mask, mask], 1),
            asked.visual,
            asked.features,
        )
        keep = {"logits_to_keep": ids.shape[1] + 1} if self.slices else {}
        options = {"attention_mask": whole.mask, "position_ids": joined, "use_cache": False, **keep}
        logits: Tensor = self.language(
            **self.joint.tell(whole), **self._types(whole, ids.shape[1]), **options
        ).logits
        return logits[:, -(ids.shape[1] + 1) :]

    def hear(self, asked: Asked) -> Heard:
        asked = self.joint.begin(asked)
        positions = self._positions(asked)
        options = {"attention_mask": asked.mask, "position_ids": positions, "use_cache": True}
        keep = {"logits_to_keep": 1} if self.slices else {}
        out = self.language(**self.joint.tell(asked), **self._types(asked, 0), **options, **keep)
        return Heard(
            out.logits[:, -1],
            out.past_key_values,
            asked.mask,
            _next(positions, asked.mask),
            self.joint.keep(asked),
        )

    def go_on(self, heard: Heard, ids: Tensor, mask: Tensor) -> tuple[Tensor, Heard]:
        seen = torch.cat([heard.mask, mask], 1)
        positions = self._onwards(heard.position, ids.shape[1])
        options = {
            "attention_mask": seen,
            "position_ids": positions,
            "past_key_values": heard.cache,
            "use_cache": True,
        }
        out = self.language(
            input_ids=ids, **options, **self.joint.remind(heard.memory, ids.shape[1])
        )
        return out.logits, Heard(
            out.logits[:, -1],
            out.past_key_values,
            seen,
            heard.position + ids.shape[1],
            heard.memory,
        )

    def _types(self, asked: Asked, answer: int) -> dict[str, Tensor]:
        if self.family.token_types == "none":
            return {}
        if self.family.token_types == "picture":
            return {"token_type_ids": (asked.ids == self.model.config.image_token_id).long()}
        types = torch.zeros_like(asked.ids)
        types[:, types.shape[1] - answer :] = 1
        return {"token_type_ids": types}

    @property
    def _rope(self) -> Any:
        """The function that gives visual tokens positions in three dimensions, where the model has
        one.
        """
        return getattr(getattr(self.model, "model", None), "get_rope_index", None)

    def _onwards(self, start: Tensor, count: int) -> Tensor:
        """Positions of the ``count`` text tokens from each row's ``start`` on."""
        steps = start[:, None] + torch.arange(count, device=start.device)
        return steps if self._rope is None else steps.expand(3, *steps.shape)

    def _positions(self, asked: Asked) -> Tensor:
        if self._rope is None:
            return (asked.mask.cumsum(-1) - 1).clamp(min=0) + self.family.first_position
        types = (asked.ids == self.model.config.image_token_id).int()
        positions: Tensor = self._rope(
            asked.ids, mm_token_type_ids=types, image_grid_thw=asked.grid, attention_mask=asked.mask
        )[0]
        return positions


class EncoderDecoder(Speaker):
    """An encoder reads the prompt, a decoder speaks the answer."""

    padding = "right"

    def score(self, asked: Asked, answers: Sequence[Sequence[int]]) -> Tensor:
        start = self._start()
        ids, _ = padded([[*start, *answer[:-1]] for answer in answers], "right", asked.ids.device)
        out = self.language(
            **self.joint.tell(asked),
            attention_mask=asked.mask,
            decoder_input_ids=ids,
            use_cache=False,
        )
        logits: Tensor = out.logits
        return logits[:, len(start) - 1 :]

    def hear(self, asked: Asked) -> Heard:
        ids = torch.tensor([self._start()], device=asked.ids.device).repeat(len(asked.ids), 1)
        out = self.language(
            **self.joint.tell(asked),
            attention_mask=asked.mask,
            decoder_input_ids=ids,
            use_cache=True,
        )
        memory = {"last_hidden_state": out.encoder_last_hidden_state}
        return Heard(out.logits[:, -1], out.past_key_values, asked.mask, asked.mask.sum(1), memory)

    def go_on(self, heard: Heard, ids: Tensor, mask: Tensor) -> tuple[Tensor, Heard]:
        memory = BaseModelOutput(**heard.memory)
        options = {"attention_mask": heard.mask, "past_key_values": heard.cache, "use_cache": True}
        out = self.language(encoder_outputs=memory, decoder_input_ids=ids, **options)
        return out.logits, Heard(
            out.logits[:, -1], out.past_key_values, heard.mask, heard.position, heard.memory
        )

    def _start(self) -> list[int]:
        """What the decoder begins with; some families (BART) force a first token upon it as well."""
        text, settings = self.model.config.get_text_config(), self.model.generation_config
        start = getattr(text, "decoder_start_token_id", None)
        return [
            int(token)
            for token in (
                text.pad_token_id if start is None else start,
                settings.forced_bos_token_id,
            )
            if token is not None
        ]


def speaker_of(joint: Joint, family: Family) -> Speaker:
    """The way to drive this model's language side."""
    both = (joint.model.config, joint.model.config.get_text_config())
    return (
        EncoderDecoder
        if any(getattr(config, "is_encoder_decoder", False) for config in both)
        else Causal
    )(joint, family)


def _next(positions: Tensor, mask: Tensor) -> Tensor:
    """The position after each row's last token."""
    last = positions.masked_fill(mask == 0, 0).amax(-1)
    return (last.amax(0) if positions.ndim == 3 else last) + 1


def _select(cache: Any, index: Tensor) -> Any:
    """A copy of a cache's rows that shares no layer object with it: models write into the cache
    they are given.
    """
    picked = copy.copy(cache)
    if hasattr(cache, "self_attention_cache"):
        picked.self_attention_cache = _select(cache.self_attention_cache, index)
        picked.cross_attention_cache = _select(cache.cross_attention_cache, index)
        picked.is_updated = dict(cache.is_updated)
        return picked
    picked.layers = [copy.copy(layer) for layer in cache.layers]
    picked.reorder_cache(index)
    return picked
