"""Accuracy: the fraction of samples whose likeliest candidate is the true one."""

from __future__ import annotations

import numpy as np

from matboard.metrics.metric import Array, Metric, Weighted, shares


def _weighted(scores: Array, labels: Array) -> Weighted:
    credit = shares(scores)[np.arange(len(labels)), labels]
    return lambda weights: weights @ credit / weights.sum(axis=1)


METRIC = Metric("accuracy", _weighted)
