"""Whether what belongs together came in equal numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matboard.errors import ModelError
from matboard.models.capabilities import Pictures


def same_count(images: Pictures, *others: Sequence[Any]) -> None:
    """See that there is one of each for every picture. Raises ModelError."""
    counts = [len(images), *map(len, others)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ModelError(
            "Pictures, questions and answers belong together one to one, at least one of each; got"
            f" {counts}."
        )


def common_count(candidates: Sequence[Sequence[str]]) -> None:
    """See that every sample has as many candidates. Raises ModelError."""
    counts = [len(options) for options in candidates]
    if len(set(counts)) > 1 or not counts[0]:
        raise ModelError(
            f"Every sample needs the same number of candidates, at least one; got {counts}."
        )
