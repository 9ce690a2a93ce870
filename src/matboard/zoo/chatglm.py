"""ChatGLM-6B (GLM, arXiv 2103.10360; its code: THUDM/chatglm-6b), the language model of VisualGLM.

A sequence is a context, which ends in ``[gMASK]`` and is read in both directions, and an answer
behind it, which begins with ``<sop>`` and is read from left to right. What differs from other
decoders:

=============================  ================================================================
theirs                         here
=============================  ================================================================
``position_ids``, half a head  the place in the context; in the answer that of ``[gMASK]``
``block_position_ids``         the other half: 0 in the context, in the answer 1, 2, …
``alpha``                      √(2 · layers); each residual adds α times the *normalised* input
``query_key_value``            one map; each head has its query, key and value beside each other
``inv_freq``                   rounded to float16, as they keep it
=============================  ================================================================

They scale attention by 1/(layer + 1) and back before the softmax, against float16's range; that
changes nothing else. In float16 they round the angles too, here these are float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, no_type_check

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    apply_rotary_pos_emb,
    eager_attention_forward,
)


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class ChatGlmConfig(PreTrainedConfig):  # type: ignore[misc]
    """ChatGLM-6B's sizes under transformers' names; the defaults are the published ones."""

    model_type = "chatglm_6b"
    vocab_size: int = 130528
    hidden_size: int = 4096
    intermediate_size: int = 16384
    num_hidden_layers: int = 28
    num_attention_heads: int = 32
    layer_norm_eps: float = 1e-5
    max_position_embeddings: int = 2048
    bos_token_id: int = 130004
    eos_token_id: int = 130005
    pad_token_id: int = 3
    tie_word_embeddings: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What every layer is told about its tokens.

    Attributes:
        turns: cosines and sines for either half of a head, ``batch token half_head`` each.
        mask: added to attention scores, ``batch 1 token key``.
        cache: keys and values of earlier tokens; they are added to it.
    """

    turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    mask: Tensor
    cache: Any


class GlmAttention(nn.Module):
    """Self-attention with two positions a token."""

    num_key_value_groups = 1
    is_causal = False  # the mask says what is seen

    def __init__(self, config: ChatGlmConfig, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.layer = layer
        self.head_width = width // config.num_attention_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)

    def forward(self, states: Tensor, around: Surroundings) -> Tensor:
        """``batch token dim`` in and out."""
        heads = self.query_key_value(states).unflatten(-1, (-1, 3 * self.head_width))
        query, key, value = heads.transpose(1, 2).chunk(3, dim=-1)
        halves = zip(query.chunk(2, -1), key.chunk(2, -1), around.turns)
        turned = [apply_rotary_pos_emb(q, k, *turn) for q, k, turn in halves]
        query, key = (torch.cat(parts, -1) for parts in zip(*turned))
        if around.cache is not None:
            key, value = around.cache.update(key, value, self.layer)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        scale = {"scaling": self.head_width**-0.5}
        seen, _ = attend(self, query, key, value, around.mask, **scale)
        out: Tensor = self.dense(seen.flatten(2))
        return out


class GlmMlp(nn.Module):
    """Two maps with a GELU (tanh form) between them, and no gate."""

    def __init__(self, config: ChatGlmConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.intermediate_size)
        self.dense_4h_to_h = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """``batch token dim`` in and out."""
        inner = functional.gelu(self.dense_h_to_4h(states), approximate="tanh")
        out: Tensor = self.dense_4h_to_h(inner)
        return out


class GlmBlock(nn.Module):
    """One layer: y = LN(x); z = LN(αy + attention(y)); αz + mlp(z)."""

    def __init__(self, config: ChatGlmConfig, layer: int) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.alpha = (2 * config.num_hidden_layers) ** 0.5
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.attention = GlmAttention(config, layer)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)
        self.mlp = GlmMlp(config)

    def forward(self, states: Tensor, around: Surroundings) -> Tensor:
        """``batch token dim`` in and out."""
        before = self.input_layernorm(states)
        states = before * self.alpha + self.attention(before, around)
        between = self.post_attention_layernorm(states)
        out: Tensor = between * self.alpha + self.mlp(between)
        return out


class ChatGlmForCausalLM(PreTrainedModel):  # type: ignore[misc]
    """ChatGLM-6B; its parameters have their published names."""

    config_class = ChatGlmConfig
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["GlmBlock"]

    def __init__(self, config: ChatGlmConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        layers = [GlmBlock(config, layer) for layer in range(config.num_hidden_layers)]
        parts = {
            "word_embeddings": nn.Embedding(config.vocab_size, width),
            "layers": nn.ModuleList(layers),
            "final_layernorm": nn.LayerNorm(width, eps=config.layer_norm_eps),
        }
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        """The table of words."""
        return self.transformer["word_embeddings"]

    def get_output_embeddings(self) -> Any:
        """The head."""
        return self.lm_head

    def forward(
        self,
        input_ids: Int[Tensor, "batch token"] | None = None,
        inputs_embeds: Float[Tensor, "batch token dim"] | None = None,
        attention_mask: Int[Tensor, "batch key"] | None = None,
        position_ids: Int[Tensor, "batch token"] | None = None,
        context_lengths: Int[Tensor, " batch"] | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, ``batch token vocabulary``.

        Args:
            attention_mask: 1 for tokens, earlier ones included, 0 for padding.
            position_ids: each token's place among those that are no padding; counted by the mask
                where None.
            context_lengths: tokens before ``<sop>``; where None all that the mask holds but one.
            logits_to_keep: of how many last tokens; of all where 0.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if past_key_values is None and use_cache:
            past_key_values = DynamicCache(config=self.config)
        if attention_mask is None:
            attention_mask = inputs_embeds.new_ones(inputs_embeds.shape[:2]).long()
        if context_lengths is None:
            context_lengths = attention_mask.sum(1) - 1
        states = inputs_embeds
        places = (attention_mask.cumsum(1) - 1).clamp(min=0)
        own = places[:, -states.shape[1] :] if position_ids is None else position_ids
        context = context_lengths[:, None]
        visible = _visible(attention_mask, places < context, states.shape[1])
        around = Surroundings(
            self._turns(own, context, states.dtype),
            torch.zeros_like(visible, dtype=states.dtype).masked_fill(
                ~visible, torch.finfo(states.dtype).min
            ),
            past_key_values,
        )
        for layer in self.transformer["layers"].children():
            states = layer(states, around)
        states = self.transformer["final_layernorm"](states)
        logits = self.lm_head(states[:, -logits_to_keep:])
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values)

    def _turns(
        self, places: Tensor, context: Tensor, dtype: torch.dtype
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """How far tokens at these places turn each half of a head."""
        width = self.config.hidden_size // self.config.num_attention_heads // 2
        steps = torch.arange(0, width, 2, device=places.device) / width
        speeds = (1 / 10000.0**steps).half().float().repeat(2)
        first = torch.minimum(places, context - 1)
        second = (places - context + 1).clamp(min=0)
        angles = (first[..., None] * speeds, second[..., None] * speeds)
        one, other = (
            (angle.cos().to(dtype), angle.sin().to(dtype)) for angle in angles
        )
        return one, other


def _visible(mask: Int[Tensor, "batch key"], is_context: Tensor, count: int) -> Tensor:
    """What each of the last ``count`` tokens sees, ``batch 1 token key``: the whole context, and of
    the answer what is not behind it; nothing of padding.
    """
    keys = torch.arange(mask.shape[1], device=mask.device)
    behind = keys > keys[-count:, None]
    seen = mask.bool()[:, None] & (is_context[:, None] | ~behind)
    return seen[:, None]
