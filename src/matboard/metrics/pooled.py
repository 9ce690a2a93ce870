"""A paired difference over several models and tasks at once, with its interval.

Models and tasks are those that were named, not drawn from many: the interval speaks of other
samples and of other seeds, not of other models. A sample weighs on all models alike, for all of
them saw it. Tasks are laid over one another sample by sample: the i-th samples of all tasks move
together, because tasks may show the same scene under several shifts. Where they have nothing to
do with each other this changes nothing on average.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matboard.errors import InputError
from matboard.metrics.intervals import (
    RIGHT,
    Estimate,
    difference,
    enough,
    interval,
    mean_of,
    paired,
    without_interval,
)
from matboard.metrics.metric import Array, Metric, Weighted
from matboard.metrics.scores import METRICS, score


@dataclass(frozen=True)
class Compared:
    """Two conditions of one model on one task.

    Attributes:
        task: its name; tasks of one name have the same samples.
        before, after: one ``n × K`` array per seed, on the same ``n`` samples.
    """

    task: str
    metric: str
    before: Sequence[Array]
    after: Sequence[Array]
    labels: Array


def pooled_difference(pairs: Sequence[Compared]) -> Estimate:
    """Mean over pairs of a model and a task of metric(after) − metric(before), each in its task's
    metric; ``n`` counts the samples of all tasks.

    The seeds' spread is that of their values over all pairs, so seed s of one task's prompts
    belongs to seed s of the others'.

    Raises:
        InputError: no pair, or pairs with different numbers of seeds.
    """
    seeds = {len(pair.after) for pair in pairs}
    if len(seeds) != 1:
        raise InputError(
            "Pairs are pooled seed by seed, but their numbers of seeds are"
            f" {', '.join(map(str, sorted(seeds))) or 'none: there is no pair'}."
        )
    samples = {pair.task: len(pair.labels) for pair in pairs}
    total = sum(samples.values())
    fewest = min(samples.values())
    values = np.mean([_by_seed(pair) for pair in pairs], axis=0).tolist()
    if not all(enough(METRICS.load(pair.metric), pair.labels) for pair in pairs):
        return without_interval(values, total)
    weights = []
    for metric in {pair.task: pair.metric for pair in pairs}.values():
        found: Metric = METRICS.load(metric)
        weights += [found.imagined / 2] * len(RIGHT)
    mean = _laid_over(pairs, samples)
    estimated = interval(values, mean, fewest, np.array(weights))
    return replace(estimated.within(-1, 1), n=total)


def _by_seed(pair: Compared) -> list[float]:
    """The difference with each seed; one prompt meets the mean of several baselines."""
    values = []
    for before, after in paired(pair.before, pair.after):
        gained = score(pair.metric, after, pair.labels)
        values.append(gained - score(pair.metric, before, pair.labels))
    return values if len(pair.after) > 1 else [float(np.mean(values))]


def _laid_over(pairs: Sequence[Compared], samples: Mapping[str, int]) -> Weighted:
    """The mean over pairs and seeds, as a function of weights: those of as many places as the
    smallest task has samples, which all tasks share, and behind them of each task's imagined ones.
    """
    fewest = min(samples.values())
    measures: dict[str, list[Weighted]] = defaultdict(list)
    for pair in pairs:
        seeds = [
            difference(pair.metric, before, after, pair.labels)
            for before, after in paired(pair.before, pair.after)
        ]
        measures[pair.task].append(mean_of(seeds))

    def mean(weights: Array) -> Array:
        sums = np.zeros(len(weights))
        for place, (task, n) in enumerate(samples.items()):
            imagined = fewest + place * len(RIGHT) + np.arange(len(RIGHT))
            own = weights[:, np.append(np.arange(n) % fewest, imagined)]
            for measure in measures[task]:
                sums += measure(own)
        return sums / len(pairs)

    return mean
