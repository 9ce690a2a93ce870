"""What the tensors of LAVIS checkpoints are called, and what transformers calls them.

LAVIS, and with it MiniGPT-4, VPGTrans and BLIVA, keeps an attention's query and value bias apart
and has none for the key; transformers keeps the three as one vector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Shape = tuple[int, ...]
Part = Literal["eye", "qformer", "projection"]

_RENAMED = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (
        r"^vision_model\.embeddings\.patch_embedding\.",
        "visual_encoder.patch_embed.proj.",
    ),
    (r"^vision_model\.post_layernorm\.", "ln_vision."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.", r"visual_encoder.blocks.\1."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.self_attn\.projection\.", ".attn.proj."),
    (r"\.self_attn\.qkv\.", ".attn.qkv."),
    (r"^qformer\.(embeddings\.)?layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (r"^qformer\.", "Qformer.bert."),
    (r"attention\.attention\.", "attention.self."),
)
_QKV_BIAS = ".attn.qkv.bias"


@dataclass(frozen=True)
class Wanted:
    """A tensor that a published file must hold.

    Attributes:
        name: in the file.
        shape: of it.
        ours: the parameter of the transformers model that it is, or is a part of.
        part: of the model, which says which file holds it.
    """

    name: str
    shape: Shape
    ours: str
    part: Part


def wanted(
    parameters: Mapping[str, Shape], projection: str, *, lavis: bool = True
) -> list[Wanted]:
    """What makes these parameters of a transformers model.

    Args:
        parameters: name → shape; the language model's are not among them.
        projection: what the published file calls ``language_projection``.
        lavis: by LAVIS's names, or else by transformers' own.
    """
    found = []
    for ours, shape in parameters.items():
        part = part_of(ours)
        name = _published(ours, projection) if lavis else ours
        if name.endswith(_QKV_BIAS):
            third = (shape[0] // 3,)
            for kind in ("q_bias", "v_bias"):
                own = f"{name.removesuffix('qkv.bias')}{kind}"
                found.append(Wanted(own, third, ours, part))
        else:
            found.append(Wanted(name, shape, ours, part))
    return found


def _published(ours: str, projection: str) -> str:
    name = ours.replace("language_projection", projection)
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def part_of(ours: str) -> Part:
    """Which part a parameter of the transformers model belongs to. BLIP-2 learned the norm behind
    the eye with its Q-Former, and keeps it with it.
    """
    if ours.startswith(("language_projection", "vision_project")):
        return "projection"
    if ours.startswith("vision_model.") and "post_layernorm" not in ours:
        return "eye"
    return "qformer"


def fused(pieces: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Parameters of the transformers model from what the files held of each.

    Args:
        pieces: parameter → name in the file → tensor.
    """
    made = {}
    for ours, held in pieces.items():
        tensors = list(held.values())
        if len(tensors) == 1:
            made[ours] = tensors[0]
        else:
            query, value = (
                next(t for name, t in held.items() if name.endswith(kind))
                for kind in ("q_bias", "v_bias")
            )
            made[ours] = torch.cat([query, torch.zeros_like(query), value])
    return made


BARE_EYE = "visual_encoder."
"""Stands before an eye's names in a model's file, and not in the file that is the eye's alone."""

_BUFFERS = (".position_ids", ".relative_position_index")
_ELSEWHERE = re.compile(
    r"visual_encoder\.(norm|fc_norm|head|mask_token)(\.|$)"
    r"|(t5|opt|llm|llama|vision|text)_proj\.|(vision|text|language)_projection\."
    r"|(t5|opt)_model\.|language_model\.|itm_head\.|temp$|Qformer\.cls\.|embeddings\."
)
"""EVA-CLIP's head; and of a BLIP-2 its way to its own language model, and what it was pretrained
with.
"""
_TEXT_SIDE = re.compile(
    r"(Qformer\.bert|qformer)\.(embeddings\.(word|position)_embeddings\."
    r"|encoder\.layer\.\d+\.(intermediate|output)\.)"
)
"""The side of a Q-Former that reads text."""


def is_left_out(name: str, own: bool, blocks: int, reads_text: bool) -> bool:
    """Whether a file may hold a tensor that the model has no use for, without being the wrong file.

    Args:
        own: the file is the project's own, and holds nothing but its model.
        blocks: of the eye; EVA-CLIP has one more.
        reads_text: whether the model's Q-Former does.
    """
    if own or name.endswith(_BUFFERS):
        return name.endswith(_BUFFERS)
    if _ELSEWHERE.match(name) or name.startswith(f"{BARE_EYE}blocks.{blocks}."):
        return True
    return not reads_text and bool(_TEXT_SIDE.match(name))
