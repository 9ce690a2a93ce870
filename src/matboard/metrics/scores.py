"""Accuracy, AUC and F1 of candidate log-likelihoods.

Every metric is written as a function of sample weights: weights of one give the metric itself, and
a bootstrap resample is nothing but a vector of counts (see ``intervals``), so no metric has a
second implementation there.

Throughout, ``scores`` is ``n × K`` (log-likelihood of each candidate; −∞ where a sample has fewer
than K) and ``labels`` is ``n`` (index of the true candidate). AUC and F1 take K = 2 candidates,
``[negative, positive]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError, UnknownName

Array: TypeAlias = NDArray[Any]
Weighted: TypeAlias = Callable[[Array], Array]
"""Weights ``resamples × n`` → metric per resample; NaN where the metric is not defined."""


def score(metric: str, scores: Array, labels: Array) -> float:
    """The metric of that name, in [0, 1]. Raises UnknownName, and InputError where it is not
    defined.
    """
    scores, labels = checked(scores, labels)
    value = float(weighted(metric, scores, labels)(np.ones((1, len(labels))))[0])
    if np.isnan(value):
        raise InputError(
            f"AUC needs both answers among the labels, but all {len(labels)} labels are"
            f" {int(labels[0])}: use more samples, or another metric."
        )
    return value


def accuracy(scores: Array, labels: Array) -> float:
    """Fraction of samples whose likeliest candidate is the true one."""
    return score("accuracy", scores, labels)


def auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve of log p(positive) − log p(negative): P(positive above negative) + ½
    P(tie).
    """
    return score("auc", scores, labels)


def f1(scores: Array, labels: Array) -> float:
    """2·TP / (2·TP + FP + FN) of the positive candidate; 0 where nothing is positive, neither truth
    nor prediction.
    """
    return score("f1", scores, labels)


def correct(scores: Array, labels: Array) -> NDArray[np.bool_]:
    """Per sample: is the likeliest candidate the true one? Ties go to the first candidate."""
    scores, labels = checked(scores, labels)
    return np.asarray(scores.argmax(axis=1) == labels)


def weighted(metric: str, scores: Array, labels: Array) -> Weighted:
    """The metric as a function of sample weights, for arrays that ``checked`` has passed."""
    if metric not in _METRICS:
        raise UnknownName("metric", metric, _METRICS)
    if metric != "accuracy" and scores.shape[1] != 2:
        raise InputError(
            f"Metric {metric!r} needs two candidates, [negative, positive], but the scores have"
            f" {scores.shape[1]} columns."
        )
    return _METRICS[metric](scores, labels)


def checked(scores: Array, labels: Array) -> tuple[Array, Array]:
    """The arrays as float64 and int64; raises InputError where they are not ``n × K`` and ``n``, n
    ≥ 1, or hold NaN.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise InputError(
            f"Scores must be n × K and labels n, but their shapes are {scores.shape} and"
            f" {labels.shape}."
        )
    if not scores.size:
        raise InputError(f"There is nothing to score: the scores have shape {scores.shape}.")
    if bad := np.flatnonzero(
        np.isnan(scores).any(axis=1) | (scores == -np.inf).all(axis=1)
    ).tolist():
        raise InputError(
            f"Scores of {len(bad)} samples are not numbers (first: sample {bad[0]}); did the model"
            " overflow?"
        )
    if ((labels < 0) | (labels >= scores.shape[1])).any():
        raise InputError(
            f"Labels run from {labels.min()} to {labels.max()}, but there are {scores.shape[1]}"
            " candidates."
        )
    return scores, labels


def _accuracy(scores: Array, labels: Array) -> Weighted:
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    return lambda weights: weights @ right / weights.sum(axis=1)


def _f1(scores: Array, labels: Array) -> Weighted:
    said, true = scores.argmax(axis=1) == 1, labels == 1
    hit, total = 2.0 * (said & true), said.astype(np.float64) + true
    return lambda weights: weights @ hit / np.maximum(weights @ total, np.finfo(np.float64).tiny)


def _auc(scores: Array, labels: Array) -> Weighted:
    margin = scores[:, 1] - scores[:, 0]
    order = np.argsort(margin, kind="stable")
    ranked = margin[order]
    tie_starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    positive = labels[order] == 1

    def area(weights: Array) -> Array:
        weights = weights[:, order]
        up = np.add.reduceat(weights * positive, tie_starts, axis=1)
        down = np.add.reduceat(weights * ~positive, tie_starts, axis=1)
        below = np.cumsum(down, axis=1) - down
        pairs = up.sum(axis=1) * down.sum(axis=1)
        wins: Array = (up * (below + down / 2)).sum(axis=1)
        return np.asarray(np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))

    return area


_METRICS: dict[str, Callable[[Array, Array], Weighted]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "f1": _f1,
}
