"""Intervals for what is read off an accuracy matrix: accuracy and forgetting over a stream, and
paired differences of learners.

Each seed has its own order of classes and so its own tasks, but the same test samples. Weights
belong to samples, the same for every seed and learner, and rebuild every matrix; imagined samples
and the spread between seeds come in as in ``intervals``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.metrics.intervals import Estimate, interval, mean_of
from matboard.metrics.metric import Weighted

Read: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
Quantity = Literal["accuracy", "average_incremental_accuracy", "forgetting"]
Pattern = Literal["kept", "missed", "lost", "won"]
"""An imagined sample: right at every stage, at none, at all but the last, at the last alone."""


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

    def matrices(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Accuracy matrices ``rows × stages × tasks`` of weighted samples (``rows × n``); NaN where
        a task has no weight.
        """
        onehot = np.eye(len(self.hits))[self.task]
        right = (weights[:, None, :] * self.hits) @ onehot
        with np.errstate(invalid="ignore"):
            return np.asarray(right / (weights @ onehot)[:, None, :])


def _accuracy(r: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(r[:, -1].mean(axis=-1))


def _incremental(r: NDArray[Any]) -> NDArray[Any]:
    stages = [r[:, t, : t + 1].mean(axis=-1) for t in range(r.shape[1])]
    return np.asarray(np.mean(stages, axis=0))


def _forgetting(r: NDArray[Any]) -> NDArray[Any]:
    last = r.shape[1] - 1
    if not last:
        return np.zeros(len(r))
    drops = [r[:, j:last, j].max(axis=-1) - r[:, last, j] for j in range(last)]
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
    patterns: Sequence[Pattern] = ("kept", "missed", "lost", "won")
    measures = [_measure(read, _beside_imagined(seed, patterns)) for seed in seeds]
    values = [_value(read, seed) for seed in seeds]
    lowest = -1 if quantity == "forgetting" else 0
    return _over_seeds(values, measures, seeds[0], weight=1.0, lowest=lowest)


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
    pairs = list(zip(a, b))
    values = [_value(read, second) - _value(read, first) for first, second in pairs]
    measures = [_measure_difference(read, *pair) for pair in pairs]
    return _over_seeds(values, measures, a[0], weight=0.5, lowest=-1)


def _beside_imagined(seed: StreamHits, patterns: Sequence[Pattern]) -> StreamHits:
    """The samples and, behind them, one imagined sample of each pattern for every task."""
    stages = len(seed.hits)
    before = np.array([pattern in ("kept", "lost") for pattern in patterns])
    at_the_end = np.array([pattern in ("kept", "won") for pattern in patterns])
    imagined = np.tile(before, (stages, stages))
    imagined[-1] = np.tile(at_the_end, stages)
    task = np.repeat(np.arange(stages), len(patterns))
    return StreamHits(
        np.concatenate([seed.hits, imagined], axis=1), np.concatenate([seed.task, task])
    )


def _measure(read: Read, seed: StreamHits) -> Weighted:
    return lambda weights: read(seed.matrices(weights))


def _measure_difference(read: Read, a: StreamHits, b: StreamHits) -> Weighted:
    first = _measure(read, _beside_imagined(a, ("kept", "missed", "lost", "won")))
    second = _measure(read, _beside_imagined(b, ("missed", "kept", "won", "lost")))
    return lambda weights: second(weights) - first(weights)


def _value(read: Read, seed: StreamHits) -> float:
    return float(read(seed.matrices(np.ones((1, len(seed.task)))))[0])


def _over_seeds(
    values: Sequence[float],
    measures: Sequence[Weighted],
    one: StreamHits,
    *,
    weight: float,
    lowest: float,
) -> Estimate:
    """``weight``: of the imagined samples of one pattern, all tasks together."""
    tasks = len(one.hits)
    imagined = np.full(4 * tasks, weight / tasks)
    return interval(values, mean_of(measures), len(one.task), imagined, lowest=lowest)
