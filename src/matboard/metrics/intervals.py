"""95 % intervals, made for few samples: Wilson's for one accuracy, and for everything else a
standard error beside imagined samples.

A percentile bootstrap knows only the samples it has: of ten that are all right both before and
after, it says that the difference is 0 ± 0, and it holds the truth 45 times in 100. So a few
imagined samples join the real ones, as many right as wrong. For the accuracy this is the interval
of Agresti and Coull (1998), and for the difference of two accuracies on the same samples that of
Bonett and Price (2012), except that the quantile is Student's with n − 1 degrees of freedom; the
same samples are imagined for any other metric. The standard error is the infinitesimal jackknife
(Efron 1982): how much the metric moves with the weight of each sample. Nothing is drawn at random.

Over several seeds, samples and seeds are crossed: each seed's prompt meets the same samples. The
interval over samples is that of the mean over the S seeds. The spread s of the seeds' values adds
t(S − 1) · s / √S to its half widths, in squares (Zou and Donner 2008), for one draw of seeds says
little of other seeds: S values of a normal distribution say just that much of their mean.

Of intervals made so, at least 93 in 100 hold the truth from ``ENOUGH`` samples on: tests draw them.
(Three seeds that differ by a lot, near the best possible value, hold it 88 times: they are not
normal.) With fewer samples there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from matboard.errors import InputError
from matboard.metrics.metric import Array, Metric, Weighted
from matboard.metrics.scores import METRICS, checked, credit, score, weighted

ENOUGH = 10
"""Samples from which on an interval is given (measured, see the module)."""

_Z = 1.959964  # 97.5 % quantile of the normal distribution
_STEP = 1e-3  # by which a weight is moved: small against 1, large against rounding
_GROUPS = 1_000  # of samples whose weights are moved together, where there are more
_CHUNK = 50  # groups at a time: 50 × n weights are held in memory


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, over ``n`` samples.

    Attributes:
        low, high: None where there are too few samples to say.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def within(self, lowest: float, highest: float) -> Estimate:
        """The same with an interval that keeps to what is possible."""
        if self.low is None or self.high is None:
            return self
        low = max(lowest, self.low)
        high = min(highest, self.high)
        return Estimate(self.value, low, high, self.n)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (n = {self.n}, too few for an interval)"
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
    variance = p * (1 - p) / n + (_Z / (2 * n)) ** 2
    half = _Z * math.sqrt(variance)
    shrink = 1 / (1 + _Z**2 / n)
    low = shrink * (centre - half)
    high = shrink * (centre + half)
    # At p = 0 and p = 1 an end is p itself, but for rounding.
    return Estimate(p, min(low, p), max(high, p), n).within(0, 1)


def estimate(metric: str, scores: Array, labels: Array) -> Estimate:
    """The metric of one condition."""
    return mean_over_seeds(metric, [scores], labels)


def paired_difference(
    metric: str, scores_a: Array, scores_b: Array, labels: Array
) -> Estimate:
    """What going from condition a to condition b gains, metric(b) − metric(a), on the same
    samples.
    """
    return difference_over_seeds(metric, [scores_a], [scores_b], labels)


def mean_over_seeds(metric: str, scores: Sequence[Array], labels: Array) -> Estimate:
    """Mean of the metric over seeds; the interval allows for the draw of both samples and seeds.

    Args:
        scores: one ``n × K`` array per seed, all on the same ``n`` samples.
    """
    if metric == "accuracy" and len(scores) == 1:
        credits = credit(scores[0], labels)
        return wilson(float(credits.sum()), len(credits))
    found: Metric = METRICS.load(metric)
    values = [score(metric, s, labels) for s in scores]
    if not enough(found, labels):
        return without_interval(values, len(labels))
    seeds = [_beside_imagined(metric, s, labels, right=RIGHT) for s in scores]
    imagined = np.full(len(RIGHT), found.imagined)
    estimated = interval(values, mean_of(seeds), len(labels), imagined)
    return estimated.within(0, 1)


def difference_over_seeds(
    metric: str, scores_a: Sequence[Array], scores_b: Sequence[Array], labels: Array
) -> Estimate:
    """Mean over seeds of metric(b) − metric(a), paired by sample and by seed; the interval allows
    for the draw of both.

    Args:
        scores_a, scores_b: one ``n × K`` array per seed; a condition that has no seed (no prompt at
            all) gives one array.
    """
    found: Metric = METRICS.load(metric)
    pairs = paired(scores_a, scores_b)
    values = []
    for a, b in pairs:
        values.append(score(metric, b, labels) - score(metric, a, labels))
    if not enough(found, labels):
        return without_interval(values, len(labels))
    seeds = [difference(metric, a, b, labels) for a, b in pairs]
    imagined = np.full(len(RIGHT), found.imagined / 2)
    estimated = interval(values, mean_of(seeds), len(labels), imagined)
    return estimated.within(-1, 1)


def interval(
    values: Sequence[float], mean: Weighted, n: int, imagined: Array
) -> Estimate:
    """The mean of the seeds' ``values`` with its interval.

    Args:
        mean: the mean over seeds as a function of weights ``rows × (n + imagined)``.
        imagined: weights of the imagined samples, which follow the n real ones.
    """
    if n < ENOUGH:
        return without_interval(values, n)
    value = float(np.mean(values))
    weights = np.concatenate([np.ones(n), imagined])
    centre, error = _jackknife(mean, weights)
    half = t_quantile(n - 1) * error
    below = max(0.0, value - (centre - half))
    above = max(0.0, centre + half - value)
    between_seeds = _half_width_of_seeds(values)
    low = value - math.hypot(below, between_seeds)
    high = value + math.hypot(above, between_seeds)
    return Estimate(value, low, high, n)


def mean_of(seeds: Sequence[Weighted]) -> Weighted:
    """The mean over seeds, as a function of weights."""
    return lambda weights: np.mean([seed(weights) for seed in seeds], axis=0)


@cache
def t_quantile(freedom: int) -> float:
    """What Student's t stays below, in absolute value, 95 times in 100.

    With t = √ν · tan θ its density is that of cosᵛ⁻¹ θ, which is summed here; above a thousand
    degrees of freedom the quantile no longer changes in the third digit.
    """
    freedom = min(freedom, 1_000)
    angle = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(angle) ** (freedom - 1)
    slices = (density[1:] + density[:-1]) / 2
    inside = np.cumsum(slices)
    found = np.interp(0.95, inside / inside[-1], angle[1:])
    return math.sqrt(freedom) * math.tan(float(found))


def of_mean(values: Array) -> Estimate:
    """The mean of a quantity measured on each sample, with Student's interval.

    Args:
        values: ``n`` numbers.
    """
    n = len(values)
    if n < ENOUGH:
        return without_interval(values, n)
    mean = float(np.mean(values))
    half = t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def without_interval(values: Sequence[float] | Array, n: int) -> Estimate:
    """The mean of values over too few samples."""
    return Estimate(float(np.mean(values)), None, None, n)


def _half_width_of_seeds(values: Sequence[float]) -> float:
    """t(S − 1) · s / √S; nothing is known of other seeds from one."""
    seeds = len(values)
    if seeds == 1:
        return 0.0
    spread = float(np.std(values, ddof=1))
    return t_quantile(seeds - 1) * spread / math.sqrt(seeds)


def _jackknife(measure: Weighted, weights: Array) -> tuple[float, float]:
    """A measure and its standard error by the infinitesimal jackknife."""
    centre = float(measure(weights[None])[0])
    groups = np.arange(min(len(weights), _GROUPS))
    group = np.arange(len(weights)) % len(groups)
    steps = _STEP * np.sqrt(weights)
    squares = 0.0
    for start in range(0, len(groups), _CHUNK):
        chosen = groups[start : start + _CHUNK]
        moved = weights + steps * (group == chosen[:, None])
        slopes = (measure(moved) - centre) / _STEP
        squares += float((slopes**2).sum())
    return centre, math.sqrt(squares)


_LABELS = (0, 0, 1, 1)
RIGHT = (True, False, True, False)
"""Imagined samples: of both answers one right and one wrong. In a difference condition b is right
where a is wrong.
"""


def _beside_imagined(
    metric: str, scores: Array, labels: Array, *, right: Sequence[bool]
) -> Weighted:
    """The metric as a function of the weights of the samples and, behind them, the imagined."""
    scores, labels = checked(scores, labels)
    imagined = np.full((len(_LABELS), scores.shape[1]), -np.inf)
    for row, label, sure in zip(imagined, _LABELS, right):
        row[label if sure else 1 - label] = np.inf
    all_scores = np.concatenate([scores, imagined])
    all_labels = np.append(labels, _LABELS)
    return weighted(metric, all_scores, all_labels)


def difference(
    metric: str, scores_a: Array, scores_b: Array, labels: Array
) -> Weighted:
    """metric(b) − metric(a) as a function of the weights of the samples and, behind them, of the
    imagined ones, which are four.
    """
    opposite = [not sure for sure in RIGHT]
    a = _beside_imagined(metric, scores_a, labels, right=RIGHT)
    b = _beside_imagined(metric, scores_b, labels, right=opposite)
    return lambda weights: b(weights) - a(weights)


def enough(metric: Metric, labels: Array) -> bool:
    """Whether there are enough samples for an interval, of each answer too where that matters."""
    if len(labels) < ENOUGH:
        return False
    counts = np.bincount(labels, minlength=metric.candidates or 0)
    return not metric.of_each or int(counts.min()) >= metric.of_each


def paired(a: Sequence[Array], b: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Two conditions seed by seed; one that has no seed meets every seed of the other.

    Raises:
        InputError: their numbers of seeds do not fit.
    """
    seeds = max(len(a), len(b))
    alike = {len(a), len(b)} <= {1, seeds}
    if not alike or not a or not b:
        raise InputError(
            f"Conditions are compared seed by seed, but one has {len(a)} seeds and the other"
            f" {len(b)}."
        )
    each_a = list(a) * (seeds // len(a))
    each_b = list(b) * (seeds // len(b))
    return list(zip(each_a, each_b, strict=True))
