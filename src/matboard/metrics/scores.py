"""Metrics of candidate log-likelihoods, by name.

Throughout, ``scores`` is ``n × K`` (log-likelihood of each candidate; −∞ where a sample has fewer
than K) and ``labels`` is ``n`` (index of the true candidate).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.metrics.metric import Array, Metric, Weighted, shares
from matboard.registry import Registry

METRICS = Registry(
    "metric",
    {
        "accuracy": "matboard.metrics.accuracy:METRIC",
        "auc": "matboard.metrics.auc:METRIC",
        "f1": "matboard.metrics.f1:METRIC",
        "vqa": "matboard.metrics.vqa:METRIC",
        "yes-rate": "matboard.metrics.yes_rate:METRIC",
    },
    group="matboard.metrics",
)


def score(metric: str, scores: Array, labels: Array) -> float:
    """The metric of that name, in [0, 1].

    Raises:
        UnknownName: no metric has this name.
        InputError: the metric is not defined on these samples.
    """
    scores, labels = checked(scores, labels)
    everyone = np.ones((1, len(labels)))
    value = float(weighted(metric, scores, labels)(everyone)[0])
    if np.isnan(value):
        found: Metric = METRICS.load(metric)
        raise InputError(
            f"{found.title} is not defined on these {len(labels)} samples:"
            f" {found.undefined}. Use more samples, or another metric."
        )
    return value


def credit(scores: Array, labels: Array) -> NDArray[np.float64]:
    """Per sample, 1 where the likeliest candidate is the true one, 0 where it is not, and 1/k where
    the true one is among k that are exactly as likely.
    """
    scores, labels = checked(scores, labels)
    return np.asarray(shares(scores)[np.arange(len(labels)), labels])


def tied_candidates(
    scores: Array, candidates: Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    """Groups of candidates that have exactly the same score wherever they meet: the model cannot
    tell them apart (words that its tokenizer does not know, say).

    Args:
        candidates: of each sample, in the order of its columns.
    """
    rows = []
    for names, row in zip(candidates, scores, strict=True):
        rows.append(dict(zip(names, row.tolist())))
    tied = {pair for row in rows for pair in _tied_pairs(row)}
    for row in rows:
        tied = {pair for pair in tied if not _differ(row, *pair)}
    groups: list[set[str]] = []
    for pair in sorted(tied):
        apart = [group for group in groups if group.isdisjoint(pair)]
        joined = [group for group in groups if not group.isdisjoint(pair)]
        groups = [*apart, set(pair).union(*joined)]
    return sorted(tuple(sorted(group)) for group in groups)


def _tied_pairs(row: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    names: dict[float, list[str]] = defaultdict(list)
    for name, value in row.items():
        names[value].append(name)
    for equal in names.values():
        yield from combinations(sorted(equal), 2)


def _differ(row: Mapping[str, float], first: str, second: str) -> bool:
    return first in row and second in row and row[first] != row[second]


def weighted(metric: str, scores: Array, labels: Array) -> Weighted:
    """The metric as a function of sample weights, for arrays that ``checked`` has passed."""
    found: Metric = METRICS.load(metric)
    if found.candidates not in (None, scores.shape[1]):
        raise InputError(
            f"Metric {metric!r} needs {found.candidates} candidates, but the scores have"
            f" {scores.shape[1]} columns."
        )
    return found.weighted(scores, labels)


def checked(scores: Array, labels: Array) -> tuple[Array, Array]:
    """The arrays as float64 and int64; raises InputError where they are not ``n × K`` and ``n``,
    n ≥ 1, or hold NaN.
    """
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels, dtype=np.int64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise InputError(
            f"Scores must be n × K and labels n, but their shapes are {scores.shape} and"
            f" {labels.shape}."
        )
    if not scores.size:
        raise InputError(
            f"There is nothing to score: the scores have shape {scores.shape}."
        )
    overflown = np.isnan(scores).any(axis=1)
    impossible = (scores == -np.inf).all(axis=1)
    if bad := np.flatnonzero(overflown | impossible).tolist():
        raise InputError(
            f"Scores of {len(bad)} samples are not numbers (first: sample {bad[0]}); did the model"
            " overflow?"
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise InputError(
            f"Labels run from {labels.min()} to {labels.max()}, but there are {scores.shape[1]}"
            " candidates."
        )
    return scores, labels
