"""Whether a precision lower than float32 turns the gradient: the first batch, in both."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import cosine_similarity

from matboard.models.capabilities import Guide, Learnable
from matboard.models.precision import in_float32, is_lower

FAITHFUL = 0.9
"""Cosine to float32's gradient below which learning in a lower precision is advised against
(guess).
"""


def float32_cosine(
    total: Tensor,
    exact: Callable[[], Tensor],
    mask: Tensor,
    parts: Sequence[Learnable | Guide],
) -> float | None:
    """Cosine between the gradient of a batch and the same in float32, over the prompt's pixels.

    None where every weight is float32 already, and, with a warning, where it cannot be computed: a
    copy in float32 may not fit into memory.

    Args:
        total: the gradient, ``3 size size``.
        exact: computes it once more; it is called while all weights are float32.
        parts: the models and the guide that it went through.
    """
    modules: list[Any] = [part.model for part in parts if part.model is not None]
    if not is_lower(modules):
        return None
    try:
        with in_float32(modules):
            wanted = exact()
    except Exception as error:  # anybody's code, and the device's memory
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"The gradient of the first batch could not be compared with float32's ({reason});"
            " learning goes on.",
            stacklevel=2,
        )
        return None
    ours = (total * mask).flatten()
    theirs = (wanted * mask).flatten()
    cosine = float(cosine_similarity(ours, theirs, dim=0))
    if cosine < FAITHFUL:
        names = ", ".join(part.name for part in parts)
        warnings.warn(f"{names}: {_advice(cosine)}", stacklevel=2)
    return cosine


def rounding_notes(
    cosines: Iterable[float | None], *, label: str, key: str
) -> list[str]:
    """A sentence where a lower precision turned the gradient of a variant's first batch.

    Args:
        cosines: of each step that was logged; see `Step.float32_cosine`.
        label: what the fit is called.
        key: where its settings stand in the configuration.
    """
    known = [cosine for cosine in cosines if cosine is not None]
    if not known or min(known) >= FAITHFUL:
        return []
    return [f"{label}: {_advice(min(known), f'{key}.')}"]


def _advice(cosine: float, under: str = "") -> str:
    """What to say of a low cosine; ``under`` stands before a setting's name."""
    return (
        f"in this precision the gradient of the first batch has cosine {cosine:.2f} to float32's"
        f" (expected {FAITHFUL:g} or more), so steps may go astray. {under}precision: mixed keeps"
        f" the eye in float32; {under}per_picture: clip or normalise bounds the pictures whose"
        " gradients turn."
    )
