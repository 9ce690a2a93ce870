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
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutput

from matboard.models.families.family import Family
from matboard.models.vlm.fusion import Fusion, Prompts
from matboard.models.vlm.prompt import padded

KEYS_AND_VALUES = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of a cache that hold keys and values and nothing else."""


@dataclass(frozen=True)
class Prefill:
    """Prompts that have been read.

    Attributes:
        logits: of the first answer token, ``batch vocabulary``.
        cache: keys and values; never handed to the model itself where it is needed again.
        mask: ``batch token``.
        position: of the first answer token.
        memory: what the language model is given again with every later token, ``batch …``.
        axes: in how many dimensions positions are counted; 0 where there is one sequence of them.
    """

    logits: Tensor
    cache: Any
    mask: Tensor
    position: Tensor
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    axes: int = 0

    @property
    def reusable(self) -> bool:
        """Whether rows of the cache can be copied. Recurrent and convolutional states cannot: they
        are written over in place, and some models ignore them where several tokens follow at once.
        """
        if self.cache is None:
            return False
        return all(type(layer) in KEYS_AND_VALUES for layer in _layers(self.cache))

    @property
    def row_bytes(self) -> int:
        """Memory of one row's keys and values."""
        tensors = [
            t for layer in _layers(self.cache) for t in (layer.keys, layer.values)
        ]
        return sum(t.nbytes for t in tensors if isinstance(t, Tensor)) // len(self.mask)

    def rows(self, index: Tensor) -> Prefill:
        """A copy made of some of the rows; rows may repeat."""
        return replace(
            self,
            logits=self.logits[index],
            cache=_select(self.cache, index),
            mask=self.mask[index],
            position=self.position[index],
            memory={name: value[index] for name, value in self.memory.items()},
        )


class LanguageModel(ABC):
    """How one kind of language model is driven.

    Args:
        fusion: the model's parts.
        family: its token types and first position.
    """

    padding = "left"

    def __init__(self, fusion: Fusion, family: Family) -> None:
        self.fusion = fusion
        self.model = fusion.model
        self.language = fusion.language
        self.family = family
        self.accepts = frozenset(inspect.signature(self.language.forward).parameters)
        head = self.language.get_output_embeddings()
        if head is not None:
            head.register_forward_pre_hook(_contiguous)

    @abstractmethod
    def score(self, prompts: Prompts, answers: Sequence[Sequence[int]]) -> Tensor:
        """Logits that predict each answer token, ``batch token vocabulary``, in one pass; padded on
        the right.
        """

    @abstractmethod
    def prefill(self, prompts: Prompts) -> Prefill:
        """Read the prompts."""

    @abstractmethod
    def decode(
        self, prefill: Prefill, ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Prefill]:
        """Logits after each of the given tokens, and the prompt with them. Uses up
        ``prefill.cache``.
        """


class Causal(LanguageModel):
    """A decoder: prompt and answer are one sequence."""

    def score(self, prompts: Prompts, answers: Sequence[Sequence[int]]) -> Tensor:
        prompts = self.fusion.opened(prompts)
        ids, mask = padded(
            [answer[:-1] for answer in answers], "right", prompts.ids.device
        )
        count = ids.shape[1]
        positions = self._positions(prompts)
        onwards = _onwards(_next(positions, prompts.mask), count, _axes(positions))
        whole = replace(
            prompts,
            ids=torch.cat([prompts.ids, ids], 1),
            mask=torch.cat([prompts.mask, mask], 1),
        )
        logits: Tensor = self.language(
            **self.fusion.arguments(whole),
            **self._types(prompts, count),
            **self._kept(count + 1),
            attention_mask=whole.mask,
            position_ids=torch.cat([positions, onwards], dim=-1),
            use_cache=False,
        ).logits
        return logits[:, -(count + 1) :]

    def prefill(self, prompts: Prompts) -> Prefill:
        prompts = self.fusion.opened(prompts)
        positions = self._positions(prompts)
        out = self.language(
            **self.fusion.arguments(prompts),
            **self._types(prompts, 0),
            **self._kept(1),
            attention_mask=prompts.mask,
            position_ids=positions,
            use_cache=True,
        )
        return Prefill(
            out.logits[:, -1],
            out.past_key_values,
            prompts.mask,
            _next(positions, prompts.mask),
            self.fusion.memory(prompts),
            _axes(positions),
        )

    def decode(
        self, prefill: Prefill, ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Prefill]:
        count = ids.shape[1]
        seen = torch.cat([prefill.mask, mask], 1)
        out = self.language(
            input_ids=ids,
            attention_mask=seen,
            position_ids=_onwards(prefill.position, count, prefill.axes),
            past_key_values=prefill.cache,
            use_cache=True,
            **self.fusion.recall(prefill.memory, count),
        )
        read = replace(
            prefill,
            logits=out.logits[:, -1],
            cache=out.past_key_values,
            mask=seen,
            position=prefill.position + count,
        )
        return out.logits, read

    def _kept(self, count: int) -> dict[str, int]:
        """The head is applied to the last tokens only, where it can be told so."""
        return {"logits_to_keep": count} if "logits_to_keep" in self.accepts else {}

    def _types(self, prompts: Prompts, answer: int) -> dict[str, Tensor]:
        """Per-token inputs for prompts and ``answer`` more tokens."""
        marks = dict(prompts.types)
        if not marks and self.family.token_types != "none":
            visual = self._is_visual(prompts)
            marks["token_type_ids"] = visual * (self.family.token_types == "picture")
        value = int(self.family.token_types == "answer")
        return {
            name: F.pad(mark, (0, answer), value=value)
            for name, mark in marks.items()
            if name in self.accepts
        }

    def _is_visual(self, prompts: Prompts) -> Tensor:
        visual: Tensor = prompts.ids == self.model.config.image_token_id
        return visual.long()

    def _positions(self, prompts: Prompts) -> Tensor:
        """Each token's position; in several dimensions where the model counts visual tokens so."""
        index = getattr(getattr(self.model, "model", None), "get_rope_index", None)
        if index is None:
            return (prompts.mask.cumsum(-1) - 1).clamp(
                min=0
            ) + self.family.first_position
        known = {
            **prompts.inputs,
            "mm_token_type_ids": self._is_visual(prompts).int(),
            **prompts.types,
            "attention_mask": prompts.mask,
        }
        wanted = inspect.signature(index).parameters
        options = {name: value for name, value in known.items() if name in wanted}
        positions: Tensor = index(prompts.ids, **options)[0]
        return positions


class EncoderDecoder(LanguageModel):
    """An encoder reads the prompt, a decoder speaks the answer."""

    padding = "right"

    def score(self, prompts: Prompts, answers: Sequence[Sequence[int]]) -> Tensor:
        start = self._start()
        rows = [[*start, *answer[:-1]] for answer in answers]
        ids, _ = padded(rows, "right", prompts.ids.device)
        logits: Tensor = self._read(prompts, ids, use_cache=False).logits
        return logits[:, len(start) - 1 :]

    def prefill(self, prompts: Prompts) -> Prefill:
        start = torch.tensor([self._start()], device=prompts.ids.device)
        out = self._read(prompts, start.repeat(len(prompts.ids), 1), use_cache=True)
        memory = {"last_hidden_state": out.encoder_last_hidden_state}
        after = prompts.mask.sum(1)
        return Prefill(
            out.logits[:, -1], out.past_key_values, prompts.mask, after, memory
        )

    def decode(
        self, prefill: Prefill, ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Prefill]:
        out = self.language(
            encoder_outputs=BaseModelOutput(**prefill.memory),
            attention_mask=prefill.mask,
            decoder_input_ids=ids,
            past_key_values=prefill.cache,
            use_cache=True,
        )
        read = replace(prefill, logits=out.logits[:, -1], cache=out.past_key_values)
        return out.logits, read

    def _read(self, prompts: Prompts, ids: Tensor, *, use_cache: bool) -> Any:
        return self.language(
            **self.fusion.arguments(prompts),
            attention_mask=prompts.mask,
            decoder_input_ids=ids,
            use_cache=use_cache,
        )

    def _start(self) -> list[int]:
        """What the decoder begins with; some families (BART) force a first token upon it too."""
        text = self.model.config.get_text_config()
        first = getattr(text, "decoder_start_token_id", None)
        forced = self.model.generation_config.forced_bos_token_id
        start = (text.pad_token_id if first is None else first, forced)
        return [int(token) for token in start if token is not None]


def language_model_of(fusion: Fusion, family: Family) -> LanguageModel:
    """The way to drive this model's language side."""
    configs = (fusion.model.config, fusion.model.config.get_text_config())
    if any(getattr(config, "is_encoder_decoder", False) for config in configs):
        return EncoderDecoder(fusion, family)
    return Causal(fusion, family)


def _contiguous(head: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a head is given, contiguous. The last tokens of a batch are not, and torch multiplies
    such a slice sample by sample, for which it copies the vocabulary matrix for each of them: half
    the time of a step and more.
    """
    del head
    return tuple(argument.contiguous() for argument in arguments)


def _axes(positions: Tensor) -> int:
    """In how many dimensions positions are counted; 0 where there is one sequence of them."""
    return len(positions) if positions.ndim == 3 else 0


def _onwards(start: Tensor, count: int, axes: int) -> Tensor:
    """Positions of the ``count`` text tokens from each row's ``start`` on."""
    steps = start[:, None] + torch.arange(count, device=start.device)
    return steps.expand(axes, *steps.shape) if axes else steps


def _next(positions: Tensor, mask: Tensor) -> Tensor:
    """The position after each row's last token."""
    last = positions.masked_fill(mask == 0, 0).amax(-1)
    return (last.amax(0) if positions.ndim == 3 else last) + 1


def _layers(cache: Any) -> list[Any]:
    if hasattr(cache, "self_attention_cache"):
        return [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
    return list(cache.layers)


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
