"""Area under the ROC curve of log p(positive) − log p(negative), candidates ``[negative,
positive]``: P(positive above negative) + ½ P(as high).

A sample whose two candidates tie has the margin 0 and is ranked there like any other.
"""

from __future__ import annotations

import numpy as np

from matboard.metrics.metric import Array, Metric, Weighted


def _weighted(scores: Array, labels: Array) -> Weighted:
    margin = scores[:, 1] - scores[:, 0]
    order = np.argsort(margin, kind="stable")
    ranked = margin[order]
    rises = ranked[1:] != ranked[:-1]
    starts = np.flatnonzero(np.append(True, rises))  # of each run of equal margins
    positive = labels[order] == 1

    def area(weights: Array) -> Array:
        sorted_weights = weights[:, order]
        positives = np.add.reduceat(sorted_weights * positive, starts, axis=1)
        negatives = np.add.reduceat(sorted_weights * ~positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives
        wins = (positives * (below + negatives / 2)).sum(axis=1)
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        undefined = np.full(len(pairs), np.nan)
        return np.asarray(np.divide(wins, pairs, out=undefined, where=pairs > 0))

    return area


METRIC = Metric(
    "AUC",
    _weighted,
    candidates=2,
    undefined="it needs both answers among the labels",
    of_each=5,  # measured: with fewer, intervals hold the truth less often than they say
    imagined=0.5,  # measured: each sample meets all others, so an extreme one counts for more
)
