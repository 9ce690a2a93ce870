"""Intervals for what is read off an accuracy matrix: accuracy and forgetting over a stream, and
paired differences of learners.

Each seed has its own order of classes and so its own tasks, but the same test samples. Weights
belong to samples, the same for every seed and learner, and rebuild every matrix; imagined samples
and the spread between seeds come in as in ``intervals``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.metrics.intervals import Estimate, interval, mean_of
from matboard.metrics.metric import Array, Weighted

Read: TypeAlias = Callable[[Array], Array]
Quantity = Literal["accuracy", "average_incremental_accuracy", "forgetting"]
Pattern = Literal["kept", "missed", "lost", "won"]
"""An imagined sample: right at every stage, at none, at all but the last, at the last alone."""

PATTERNS: tuple[Pattern, ...] = ("kept", "missed", "lost", "won")
OPPOSITES: tuple[Pattern, ...] = ("missed", "kept", "won", "lost")
"""In a difference, what the second learner does with the first one's imagined samples."""


@dataclass(frozen=True)
class StreamHits:
    """What one learner got right, with one seed.

    Attributes:
        hits: ``stages × n``, whether the sample was right after each task; False where its task was
            still to come.
        task: of each of the n samples, in the order of the test part, the index of its task.
    """

    hits: NDArray[np.bool_]
    task: NDArray[np.int64]

    def matrices(self, weights: Array) -> NDArray[np.float64]:
        """Accuracy matrices ``rows × stages × tasks`` of weighted samples (``rows × n``); NaN where
        a task has no weight.
        """
        onehot = np.eye(len(self.hits))[self.task]
        right = (weights[:, None, :] * self.hits) @ onehot
        all_of_task = weights @ onehot
        with np.errstate(invalid="ignore"):
            return np.asarray(right / all_of_task[:, None, :])


def _accuracy(r: Array) -> Array:
    return np.asarray(r[:, -1].mean(axis=-1))


def _incremental(r: Array) -> Array:
    averages = []
    for stage in range(r.shape[1]):
        seen = r[:, stage, : stage + 1]
        averages.append(seen.mean(axis=-1))
    return np.asarray(np.mean(averages, axis=0))


def _forgetting(r: Array) -> Array:
    past = r.shape[1] - 1
    if not past:
        return np.zeros(len(r))
    drops = []
    for task in range(past):
        history = r[:, task:, task]
        drops.append(history[:, :-1].max(axis=-1) - history[:, -1])
    return np.asarray(np.mean(drops, axis=0))


QUANTITIES: dict[str, Read] = {
    "accuracy": _accuracy,
    "average_incremental_accuracy": _incremental,
    "forgetting": _forgetting,
}
"""A_T, the mean of A_t over stages, and Chaudhry's forgetting; each is tested against
`AccuracyMatrix`.
"""


def stream_estimate(quantity: Quantity, seeds: Sequence[StreamHits]) -> Estimate:
    """A learner's quantity, mean over seeds, with its 95 % interval over samples and seeds."""
    read = QUANTITIES[quantity]
    values = [_value(read, seed) for seed in seeds]
    measures = [_measure(read, seed, PATTERNS) for seed in seeds]
    lowest = -1 if quantity == "forgetting" else 0
    return _over_seeds(values, measures, seeds[0], weight=1.0).within(lowest, 1)


def stream_difference(
    quantity: Quantity, a: Sequence[StreamHits], b: Sequence[StreamHits]
) -> Estimate:
    """Quantity of b − quantity of a, paired by sample and by seed. Raises InputError where seeds
    differ in number.
    """
    if len(a) != len(b):
        raise InputError(
            f"Learners are compared seed by seed, but one has {len(a)} seeds and the other"
            f" {len(b)}."
        )
    read = QUANTITIES[quantity]
    values = []
    measures = []
    for first, second in zip(a, b):
        values.append(_value(read, second) - _value(read, first))
        measures.append(_measure_difference(read, first, second))
    return _over_seeds(values, measures, a[0], weight=0.5).within(-1, 1)


def _beside_imagined(seed: StreamHits, patterns: Sequence[Pattern]) -> StreamHits:
    """The samples and, behind them, one imagined sample of each pattern for every task."""
    stages = len(seed.hits)
    before = [pattern in ("kept", "lost") for pattern in patterns]
    at_the_end = [pattern in ("kept", "won") for pattern in patterns]
    imagined = np.tile(before, (stages, stages))
    imagined[-1] = np.tile(at_the_end, stages)
    task = np.repeat(np.arange(stages), len(patterns))
    hits = np.concatenate([seed.hits, imagined], axis=1)
    return StreamHits(hits, np.concatenate([seed.task, task]))


def _measure(read: Read, seed: StreamHits, patterns: Sequence[Pattern]) -> Weighted:
    padded = _beside_imagined(seed, patterns)
    return lambda weights: read(padded.matrices(weights))


def _measure_difference(read: Read, a: StreamHits, b: StreamHits) -> Weighted:
    first = _measure(read, a, PATTERNS)
    second = _measure(read, b, OPPOSITES)
    return lambda weights: second(weights) - first(weights)


def _value(read: Read, seed: StreamHits) -> float:
    everyone = np.ones((1, len(seed.task)))
    return float(read(seed.matrices(everyone))[0])


def _over_seeds(
    values: Sequence[float],
    measures: Sequence[Weighted],
    one: StreamHits,
    *,
    weight: float,
) -> Estimate:
    """``weight``: of the imagined samples of one pattern, all tasks together."""
    tasks = len(one.hits)
    imagined = np.full(len(PATTERNS) * tasks, weight / tasks)
    return interval(values, mean_of(measures), len(one.task), imagined)
