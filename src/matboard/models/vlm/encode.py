"""The vision side of a vision-language model: from prepared pictures to visual tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.families.family import Family, Picture
from matboard.models.vlm.fusion import Fusion


@dataclass(frozen=True)
class Encoded:
    """A batch of pictures after the vision side.

    Attributes:
        output: as `Fusion.encode` gave it; the language side of most families takes it as it is.
        tokens: what enters the language model, one ``token dim`` a picture.
        pictures: how each appears in a prompt.
        shares: how the encoder's tokens divide among the pictures (their tiles or patches); None
            where nobody says.
        inputs: the pictures as they were prepared.
    """

    output: Any
    tokens: list[Tensor]
    pictures: list[Picture]
    shares: list[int] | None
    inputs: Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """What is known of a batch of pictures before they are encoded.

    Attributes:
        count: how many there are.
        alike: whether all are of one size, so that all become equally many tokens.
        placeholders: how many image tokens the prompt of each holds, where the official processor
            says so.
    """

    count: int
    alike: bool
    placeholders: Sequence[int] | None = None


def encode(
    fusion: Fusion, family: Family, inputs: Mapping[str, Tensor], batch: Batch
) -> Encoded:
    """Encode prepared pictures, each once.

    Raises:
        ModelError: nobody says which visual tokens belong to which picture, or the prompts hold
            another number of image tokens.
    """
    taken = {name: value for name, value in inputs.items() if name in fusion.inputs}
    output = fusion.encode(taken)
    one_each = [1] * batch.count
    shares = family.pieces(inputs) or (one_each if batch.alike else None)
    tokens = _tokens_of(output.pooler_output, shares, batch)
    counts = [len(own) for own in tokens]
    if batch.placeholders is not None and counts != list(batch.placeholders):
        raise ModelError(
            f"{type(fusion.model).__name__} makes {counts} visual tokens of these pictures, but"
            f" its processor left room for {list(batch.placeholders)} in the prompts: model and"
            " processor do not belong together."
        )
    pictures = family.arrange(fusion.model, inputs, counts)
    return Encoded(
        output, tokens, pictures, counts if family.end_to_end else shares, inputs
    )


def _tokens_of(pooled: Any, shares: Sequence[int] | None, batch: Batch) -> list[Tensor]:
    """What enters the language model, by picture; families join their tiles or patches in the first
    dimensions.
    """
    if not isinstance(pooled, Tensor):
        if len(pooled) == batch.count:
            return list(pooled)
        pooled = torch.cat([part.reshape(-1, part.shape[-1]) for part in pooled])
    flat = pooled.reshape(-1, pooled.shape[-1])
    if batch.placeholders is not None and sum(batch.placeholders) == len(flat):
        return list(flat.split(list(batch.placeholders)))
    if pooled.ndim == 3 and len(pooled) == batch.count:
        return list(pooled)
    return divided(flat, shares)


def divided(tokens: Tensor, shares: Sequence[int] | None) -> list[Tensor]:
    """Tokens by picture. Raises ModelError where they do not divide, or nobody says how."""
    if shares is None:
        raise ModelError(
            "This model's processor does not say which visual tokens belong to which picture; give"
            " one picture at a time, or pictures of one size."
        )
    unit = math.gcd(*shares)
    units = [share // unit for share in shares]
    each, left = divmod(len(tokens), sum(units))
    if left:
        raise ModelError(
            f"{len(tokens)} visual tokens do not divide among {len(shares)} pictures; give pictures"
            " of one size."
        )
    return list(tokens.split([each * share for share in units]))


def taps_of(model: Any) -> tuple[str, ...]:
    """Where visual features can be had."""
    if hasattr(model, "qformer"):
        return ("vision", "qformer", "projector")
    return ("vision", "projector")


def features(model: Any, encoded: Encoded, tap: str) -> Tensor:
    """Features of every picture at a tap, float32, ``batch token dim``. Raises UnknownName, and
    ModelError for unequal token counts.
    """
    if tap not in taps_of(model):
        raise UnknownName("tap", tap, taps_of(model))
    if tap == "projector":
        parts = encoded.tokens
    elif tap == "qformer":
        queries = encoded.output.qformer_outputs.last_hidden_state
        parts = list(queries[:, : model.config.num_query_tokens])
    else:
        parts = _vision_tokens(encoded)
    counts = sorted({len(part) for part in parts})
    if len(counts) > 1:
        raise ModelError(
            f"These pictures yield {counts} visual tokens at {tap!r}, which do not stack; give"
            " pictures of one size."
        )
    return torch.stack(parts).float()


def _vision_tokens(encoded: Encoded) -> list[Tensor]:
    tokens = encoded.output.last_hidden_state
    if tokens.ndim == 4:  # a feature map
        tokens = tokens.flatten(2).transpose(1, 2)
    return divided(tokens.reshape(-1, tokens.shape[-1]), encoded.shares)


def fingerprint(model: Any) -> str:
    """Of a model's or its eye's weights, read as bfloat16, whatever its parts are called."""
    weights = [
        value for value in model.state_dict().values() if value.is_floating_point()
    ]
    parts = sorted(hashlib.sha256(_bytes(value)).digest() for value in weights)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _bytes(value: Tensor) -> bytes:
    return (
        value.detach()
        .to("cpu", torch.bfloat16)
        .contiguous()
        .view(torch.int16)
        .numpy()
        .tobytes()
    )
