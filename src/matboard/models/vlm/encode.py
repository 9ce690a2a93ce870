"""The vision side of a vision-language model: from pictures to visual tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.families import Picture, merged_patch
from matboard.models.vlm.fusion import Joint


@dataclass(frozen=True)
class Seen:
    """A batch of pictures after the vision side.

    Attributes:
        output: as `Joint.look` gave it; the language side of most families takes it as it is.
        tokens: what enters the language model, one ``token dim`` a picture.
        pictures: how each appears in a prompt.
        shares: how the encoder's tokens divide among the pictures (their tiles or patches).
        grid: patches per frame, row and column of each, for families whose positions depend on
            them.
    """

    output: Any
    tokens: list[Tensor]
    pictures: list[Picture]
    shares: list[int]
    grid: Tensor | None


def see(joint: Joint, inputs: dict[str, Tensor], count: int) -> Seen:
    """Encode ``count`` prepared pictures, each once."""
    output = joint.look({name: value for name, value in inputs.items() if name in joint.inputs})
    rows, columns = _tiles(joint.model, inputs, count)
    grid, counted = inputs.get("image_grid_thw"), inputs.get("num_patches", inputs.get("num_tiles"))
    shares = [r * c + 1 for r, c in zip(rows, columns)]
    if counted is not None:
        shares = counted.flatten().tolist()
    elif grid is not None:
        shares = grid.prod(-1).tolist()
    pooled = output.pooler_output
    tokens = _divide(pooled, shares) if isinstance(pooled, Tensor) else list(pooled)
    patch, lines = merged_patch(joint.model), [1] * count
    if patch is not None:  # Pixtral's eye lays all its pictures end to end
        shares, lines = (
            [len(own) for own in tokens],
            (inputs["image_sizes"][:, 0] // patch).tolist(),
        )
    pictures = [
        Picture(len(own), *facts) for own, *facts in zip(tokens, rows, columns, lines, strict=True)
    ]
    return Seen(output, tokens, pictures, shares, grid)


def _tiles(model: Any, inputs: dict[str, Tensor], count: int) -> tuple[list[int], list[int]]:
    """Rows and columns of the tiles in front of each picture; Idefics 2 does not say that it
    quarters.
    """
    if model.config.model_type == "idefics2" and inputs["pixel_values"].shape[1] > 1:
        return [2] * count, [2] * count
    rows, columns = (
        inputs[name].flatten().tolist() if name in inputs else [0] * count
        for name in ("rows", "cols")
    )
    return rows, columns


def taps_of(model: Any) -> tuple[str, ...]:
    """Where visual features can be had."""
    return (
        ("vision", "qformer", "projector") if hasattr(model, "qformer") else ("vision", "projector")
    )


def features(model: Any, seen: Seen, tap: str) -> Tensor:
    """Features of every picture at a tap, float32, ``batch token dim``. Raises UnknownName, and
    ModelError for unequal token counts.
    """
    if tap not in taps_of(model):
        raise UnknownName("tap", tap, taps_of(model))
    parts = seen.tokens
    if tap == "qformer":
        parts = list(
            seen.output.qformer_outputs.last_hidden_state[:, : model.config.num_query_tokens]
        )
    elif tap == "vision":
        tokens = seen.output.last_hidden_state
        parts = _divide(
            tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens, seen.shares
        )
    counts = sorted({len(part) for part in parts})
    if len(counts) > 1:
        raise ModelError(
            f"These pictures yield {counts} visual tokens at {tap!r}, which do not stack; give"
            " pictures of one size."
        )
    return torch.stack(parts).float()


def fingerprint(eye: Any) -> str:
    """Of a vision encoder's weights, read as bfloat16; what its parts are called does not matter."""
    weights = eye.state_dict().values()
    parts = sorted(
        hashlib.sha256(_bytes(value)).digest() for value in weights if value.is_floating_point()
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _divide(tokens: Tensor, shares: Sequence[int]) -> list[Tensor]:
    """A batch's visual tokens by picture; families join their tiles or patches in the first
    dimensions.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])
    each, left = divmod(len(flat), sum(shares))
    if left:
        raise ModelError(
            f"{len(flat)} visual tokens do not divide among {len(shares)} pictures; give pictures"
            " of one size."
        )
    return list(flat.split([each * share for share in shares]))


def _bytes(value: Tensor) -> bytes:
    return value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
