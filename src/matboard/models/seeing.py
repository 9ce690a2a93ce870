"""The vision side of a vision-language model: from pictures to visual tokens."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.families import Picture, merged_patch


@dataclass(frozen=True)
class Seen:
    """A batch of pictures after the vision side.

    Attributes:
        output: the model's own output object; the language side of most families takes it as it is.
        tokens: what enters the language model, one ``token dim`` a picture.
        pictures: how each appears in a prompt.
        shares: how the encoder's tokens divide among the pictures (their tiles or patches).
        grid: patches per frame, row and column of each, for families whose positions depend on them.
    """

    output: Any
    tokens: list[Tensor]
    pictures: list[Picture]
    shares: list[int]
    grid: Tensor | None


def picture_inputs(model: Any) -> frozenset[str]:
    """The names that a model's ``get_image_features`` takes, those of the methods that it overrides or hands on to included."""
    kinds = (*type(model).__mro__, *type(getattr(model, "model", None)).__mro__)
    methods = (vars(kind).get("get_image_features") for kind in kinds)
    return frozenset(name for method in methods if method is not None for name in inspect.signature(method).parameters)


def see(model: Any, inputs: dict[str, Tensor], count: int) -> Seen:
    """Encode ``count`` prepared pictures, each once."""
    known = picture_inputs(model)
    output = model.get_image_features(**{name: value for name, value in inputs.items() if name in known}, return_dict=True)
    rows, columns = _tiles(model, inputs, count)
    grid = inputs.get("image_grid_thw")
    shares = [r * c + 1 for r, c in zip(rows, columns)]
    if "num_patches" in inputs:
        shares = inputs["num_patches"].tolist()
    elif grid is not None:
        shares = grid.prod(-1).tolist()
    pooled = output.pooler_output
    tokens = _divide(pooled, shares) if isinstance(pooled, Tensor) else list(pooled)
    patch, lines = merged_patch(model), [1] * count
    if patch is not None:  # Pixtral's eye lays all its pictures end to end
        shares, lines = [len(own) for own in tokens], (inputs["image_sizes"][:, 0] // patch).tolist()
    pictures = [Picture(len(own), *facts) for own, *facts in zip(tokens, rows, columns, lines, strict=True)]
    return Seen(output, tokens, pictures, shares, grid)


def _tiles(model: Any, inputs: dict[str, Tensor], count: int) -> tuple[list[int], list[int]]:
    """Rows and columns of the tiles in front of each picture; Idefics 2 does not say that it quarters."""
    if model.config.model_type == "idefics2" and inputs["pixel_values"].shape[1] > 1:
        return [2] * count, [2] * count
    rows, columns = (inputs[name].flatten().tolist() if name in inputs else [0] * count for name in ("rows", "cols"))
    return rows, columns


def taps_of(model: Any) -> tuple[str, ...]:
    """Where visual features can be had."""
    return ("vision", "qformer", "projector") if hasattr(model, "qformer") else ("vision", "projector")


def features(model: Any, seen: Seen, tap: str) -> Tensor:
    """Features of every picture at a tap, float32, ``batch token dim``. Raises UnknownName, and ModelError for unequal token counts."""
    if tap not in taps_of(model):
        raise UnknownName("tap", tap, taps_of(model))
    parts = seen.tokens
    if tap == "qformer":
        parts = list(seen.output.qformer_outputs.last_hidden_state[:, : model.config.num_query_tokens])
    elif tap == "vision":
        tokens = seen.output.last_hidden_state
        parts = _divide(tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens, seen.shares)
    counts = sorted({len(part) for part in parts})
    if len(counts) > 1:
        raise ModelError(f"These pictures yield {counts} visual tokens at {tap!r}, which do not stack; give pictures of one size.")
    return torch.stack(parts).float()


def fingerprint(model: Any) -> str:
    """Of the vision encoder's weights, read as bfloat16; what its parts are called does not matter."""
    weights = model.get_encoder(modality="image").state_dict().values()
    parts = sorted(hashlib.sha256(_bytes(value)).digest() for value in weights if value.is_floating_point())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _divide(tokens: Tensor, shares: Sequence[int]) -> list[Tensor]:
    """A batch's visual tokens by picture; families join their tiles or patches in the first dimensions."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    each, left = divmod(len(flat), sum(shares))
    if left:
        raise ModelError(f"{len(flat)} visual tokens do not divide among {len(shares)} pictures; give pictures of one size.")
    return list(flat.split([each * share for share in shares]))


def _bytes(value: Tensor) -> bytes:
    return value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
