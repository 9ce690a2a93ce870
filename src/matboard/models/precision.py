"""Precisions of frozen models: the eye in float32 beside a language model in bfloat16, and any of
them in float32 for a while.

Pixel gradients of a few pictures of a batch are so ill-conditioned that rounding the eye's weights
to bfloat16 turns them; a language model and a Q-Former may be rounded without harm (measured, see
docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

MIXED = "mixed"
"""The precision in which a model's eye is in float32 and all else in bfloat16."""


def of_an_eye(dtype: torch.dtype | str | None) -> torch.dtype | str:
    """The precision of a model that is all eye: float32 where none is given, and for mixed."""
    return torch.float32 if dtype is None or dtype == MIXED else dtype


def keep_eye_exact(model: Any, eye: Any, exact: Any) -> None:
    """Give the eye of a model in lower precision its weights in float32, and let it hand on what
    it sees in the model's precision.

    Args:
        exact: the same eye as it was loaded in float32.
    """
    weights = exact.state_dict()
    for name, tensor in eye.state_dict(keep_vars=True).items():
        tensor.data = weights[name]
    if hasattr(eye, "set_attn_implementation"):
        eye.set_attn_implementation(exact.config._attn_implementation)
    embeddings = model.get_input_embeddings()

    def hand_on(_eye: Any, _pictures: Any, seen: Any) -> Any:
        return _as(embeddings.weight.dtype, seen)

    eye.register_forward_hook(hand_on)


def is_lower(models: Iterable[Any]) -> bool:
    """Whether any weight of any of these torch modules is of lower precision than float32."""
    return any(_is_lower(tensor) for tensor in _tensors(models))


@contextmanager
def in_float32(models: Iterable[Any]) -> Iterator[None]:
    """Torch modules with all their weights in float32; afterwards they are, bit for bit, what they
    were: what fits into fewer bits comes back out of more.
    """
    changed: list[tuple[Tensor, torch.dtype]] = []
    try:
        for tensor in _tensors(models):
            if _is_lower(tensor):
                changed.append((tensor, tensor.dtype))
                tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, dtype in changed:
            tensor.data = tensor.data.to(dtype)


def _tensors(models: Iterable[Any]) -> Iterator[Tensor]:
    for model in models:
        yield from model.parameters()
        yield from model.buffers()


def _is_lower(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.itemsize < torch.float32.itemsize


def _as(dtype: torch.dtype, seen: Any) -> Any:
    """An output, whatever its form, with its floating-point tensors in another precision."""
    if isinstance(seen, Tensor):
        return seen.to(dtype) if seen.is_floating_point() else seen
    if isinstance(seen, dict):  # transformers' outputs too
        for name in list(seen):
            seen[name] = _as(dtype, seen[name])
        return seen
    if isinstance(seen, tuple | list):
        return type(seen)(_as(dtype, part) for part in seen)
    return seen
