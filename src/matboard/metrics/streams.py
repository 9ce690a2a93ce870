"""Intervals for what is read off an accuracy matrix: accuracy and forgetting over a stream, and
paired differences of learners.

Each seed has its own order of classes and so its own tasks, but the same test samples. A resample
draws samples, the same for every seed and learner, and rebuilds every matrix from them; the spread
between seeds comes in by t(S − 1), as in `intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.metrics.intervals import Estimate, bootstrap

Read: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
Quantity = Literal["accuracy", "average_incremental_accuracy", "forgetting"]


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
        """Accuracy matrices ``resamples × stages × tasks`` of weighted samples (``resamples × n``);
        NaN where a task has no weight.
        """
        onehot = np.eye(len(self.hits))[self.task]
        right = (weights[:, None, :] * self.hits) @ onehot
        with np.errstate(invalid="ignore"):
            return np.asarray(right / (weights @ onehot)[:, None, :])


def _accuracy(r: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(r[:, -1].mean(axis=-1))


def _incremental(r: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.mean([r[:, t, : t + 1].mean(axis=-1) for t in range(r.shape[1])], axis=0))


def _forgetting(r: NDArray[Any]) -> NDArray[Any]:
    last = r.shape[1] - 1
    if not last:
        return np.zeros(len(r))
    return np.asarray(
        np.mean([r[:, j:last, j].max(axis=-1) - r[:, last, j] for j in range(last)], axis=0)
    )


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
    return _over_seeds([partial(_read, read, s) for s in seeds], len(seeds[0].task))


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
    return _over_seeds(
        [partial(_read_difference, read, *pair) for pair in zip(a, b)], len(a[0].task)
    )


def _read(read: Read, seed: StreamHits, weights: NDArray[Any]) -> NDArray[Any]:
    return read(seed.matrices(weights))


def _read_difference(
    read: Read, a: StreamHits, b: StreamHits, weights: NDArray[Any]
) -> NDArray[Any]:
    return read(b.matrices(weights)) - read(a.matrices(weights))


def _over_seeds(values: Sequence[Read], n: int) -> Estimate:
    """``values``: one function a seed, weights ``resamples × n`` → the quantity of each resample."""
    points = [float(v(np.ones((1, n)))[0]) for v in values]
    return bootstrap(
        points, lambda weights: np.mean([v(weights) for v in values], axis=0), n, seed=0, lowest=-1
    )
