"""95 % intervals: Wilson for an accuracy, the bootstrap for everything else.

Over several seeds, samples and seeds are crossed: each seed's prompt meets the same samples. A
resample therefore draws samples, the same for every seed, and then moves the mean over the S seeds
by a draw of t(S − 1) · s / √S, where s is the spread of the seeds' values: what S values of a
normal distribution say of their mean. Seeds are not drawn with replacement like samples: three
seeds would never resample outside their own range, and such intervals hold the true mean only 84
times in 100 where seeds differ more than samples do (with t, 96 to 99 times; three seeds, 300
samples, 300 trials).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.metrics.metric import Array
from matboard.metrics.scores import checked, credit, score, weighted

RESAMPLES = 2_000
_CHUNK = 200  # resamples held in memory at a time: 200 × n weights
_Z = 1.959964  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, over ``n`` samples."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def wilson(successes: float, n: int) -> Estimate:
    """A fraction with Wilson's score interval (Wilson 1927).

    Args:
        successes: a tie counts as the part of a success that ``credit`` gives it.

    Raises:
        InputError: not 0 ≤ successes ≤ n, or n < 1.
    """
    if not 0 <= successes <= n or n < 1:
        raise InputError(
            f"{successes:g} successes in {n} trials: need at least one trial, and no more successes"
            " than trials."
        )
    p = successes / n
    centre = p + _Z**2 / (2 * n)
    half = _Z * math.sqrt(p * (1 - p) / n + (_Z / (2 * n)) ** 2)
    shrink = 1 / (1 + _Z**2 / n)
    low = shrink * (centre - half)
    high = shrink * (centre + half)
    # At p = 0 and p = 1 an end is p itself, but for rounding.
    return Estimate(p, max(0.0, min(low, p)), min(1.0, max(high, p)), n)


def estimate(metric: str, scores: Array, labels: Array, *, seed: int = 0) -> Estimate:
    """The metric of one condition: Wilson's interval for accuracy, a percentile bootstrap over
    samples otherwise.
    """
    if metric == "accuracy":
        credits = credit(scores, labels)
        return wilson(float(credits.sum()), len(credits))
    return mean_over_seeds(metric, [scores], labels, seed=seed)


def paired_difference(
    metric: str, scores_a: Array, scores_b: Array, labels: Array, *, seed: int = 0
) -> Estimate:
    """What going from condition a to condition b gains, metric(b) − metric(a), both resampled on
    the same samples.
    """
    return difference_over_seeds(metric, [scores_a], [scores_b], labels, seed=seed)


def mean_over_seeds(
    metric: str, scores: Sequence[Array], labels: Array, *, seed: int = 0
) -> Estimate:
    """Mean of the metric over seeds; the interval allows for the draw of both samples and seeds.

    Args:
        scores: one ``n × K`` array per seed, all on the same ``n`` samples.
    """
    values = [score(metric, s, labels) for s in scores]
    metrics = [weighted(metric, *checked(s, labels)) for s in scores]
    return bootstrap(
        values,
        lambda weights: np.mean([m(weights) for m in metrics], axis=0),
        len(labels),
        seed,
        lowest=0,
    )


def difference_over_seeds(
    metric: str,
    scores_a: Sequence[Array],
    scores_b: Sequence[Array],
    labels: Array,
    *,
    seed: int = 0,
) -> Estimate:
    """Mean over seeds of metric(b) − metric(a), paired by sample and by seed; the interval allows
    for the draw of both.

    Args:
        scores_a, scores_b: one ``n × K`` array per seed; a condition that has no seed (no prompt at
            all) gives one array.
    """
    pairs = _paired(scores_a, scores_b)
    values = [score(metric, b, labels) - score(metric, a, labels) for a, b in pairs]
    metrics = [
        (weighted(metric, *checked(a, labels)), weighted(metric, *checked(b, labels)))
        for a, b in pairs
    ]
    return bootstrap(
        values,
        lambda weights: np.mean([b(weights) - a(weights) for a, b in metrics], axis=0),
        len(labels),
        seed,
        lowest=-1,
    )


def _paired(a: Sequence[Array], b: Sequence[Array]) -> list[tuple[Array, Array]]:
    seeds = max(len(a), len(b))
    if not {len(a), len(b)} <= {1, seeds} or not (len(a) and len(b)):
        raise InputError(
            f"Conditions are compared seed by seed, but one has {len(a)} seeds and the other"
            f" {len(b)}."
        )
    return list(zip(list(a) * (seeds // len(a)), list(b) * (seeds // len(b)), strict=True))


def bootstrap(
    values: Sequence[float], mean: Callable[[Array], Array], n: int, seed: int, lowest: int
) -> Estimate:
    """Percentile interval around the mean of the seeds' ``values``; ``mean``: weights ``resamples ×
    n`` → mean over seeds of each.
    """
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([mean(weights) for weights in _weights(n, rng)])
    if len(values) > 1:
        drawn = drawn + _t_draws(len(values) - 1, rng) * np.std(values, ddof=1) / math.sqrt(
            len(values)
        )
    low, high = np.nanquantile(
        drawn.clip(lowest, 1), [0.025, 0.975]
    )  # NaN: a resample without both answers has no AUC
    return Estimate(float(np.mean(values)), float(low), float(high), n)


def _weights(n: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    for _ in range(RESAMPLES // _CHUNK):
        drawn = rng.integers(0, n, (_CHUNK, n)) + n * np.arange(_CHUNK)[:, None]
        yield np.bincount(drawn.ravel(), minlength=_CHUNK * n).reshape(_CHUNK, n).astype(np.float64)


def _t_draws(freedom: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """RESAMPLES draws of Student's t, evenly spread over a hundred times as many: its tails are too
    heavy for so few.
    """
    return rng.permutation(np.sort(rng.standard_t(freedom, 100 * RESAMPLES))[50::100])
