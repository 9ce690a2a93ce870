"""A finished run as it is laid beside others: what it holds, and what of that another holds too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.metrics import unpaired_difference
from matboard.metrics.intervals import ENOUGH, Estimate
from matboard.results.comparison import Beside, ComparedRow, Side
from matboard.results.parts import Difference, Interval

Rows: TypeAlias = NDArray[np.int64]


class Comparable(ABC):
    """A finished run; others are of its own kind.

    Args:
        name: what the comparison calls it.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    @property
    @abstractmethod
    def conditions(self) -> list[str]:
        """What is compared: names of its learned prompts, or of its learners."""

    @property
    @abstractmethod
    def held(self) -> str:
        """Its models and tasks, in words."""

    @abstractmethod
    def rows(
        self, condition: str, others: Sequence[tuple[Any, str]]
    ) -> Iterator[ComparedRow]:
        """Its own condition beside those of other runs, wherever both were measured."""

    @abstractmethod
    def notes(self, other: Any) -> Iterator[str]:
        """What a reader must know of another run beside this one."""


def shared(
    mine: Sequence[str], theirs: Sequence[str]
) -> tuple[tuple[Rows, Rows] | None, str]:
    """Where the samples lie that both have; None where they are too few to be compared on alone.
    And what keeps a comparison from standing on all of them.

    Args:
        mine, theirs: fingerprints of samples, in each one's order.
    """
    place = {sample: row for row, sample in enumerate(theirs)}
    pairs = [(row, place[one]) for row, one in enumerate(mine) if one in place]
    if len(pairs) == len(mine) == len(theirs):
        why = ""
    else:
        why = f"{len(pairs)} of {len(mine)} and {len(theirs)} samples are the same"
    if len(pairs) < ENOUGH <= min(len(mine), len(theirs)) or not pairs:
        return None, why
    if 2 * len(pairs) < min(len(mine), len(theirs)):
        return None, why
    rows = np.array(pairs, dtype=np.int64)
    return (rows[:, 0], rows[:, 1]), why


def unpaired(reference: Side, side: Side, why: str) -> Beside:
    """A cell beside the one it is compared with, by their own intervals."""
    found = unpaired_difference(_estimate(reference.value), _estimate(side.value))
    return Beside(side=side, difference=Difference.of(found), why=why)


def _estimate(value: Interval) -> Estimate:
    assert value.value is not None
    return Estimate(value.value, value.low, value.high, value.n or 0)
