"""Yes-rate: the share of samples whose likeliest candidate is the second of ``[no, yes]``, whether
or not that is true (POPE, arXiv 2305.10355). It says where a model leans; more is not better.

A sample whose candidates tie counts as half a yes.
"""

from __future__ import annotations

from matboard.metrics.metric import Array, Metric, Weighted, shares


def _weighted(scores: Array, labels: Array) -> Weighted:
    said = shares(scores)[:, 1]
    return lambda weights: weights @ said / weights.sum(axis=1)


METRIC = Metric("yes-rate", _weighted, candidates=2)
