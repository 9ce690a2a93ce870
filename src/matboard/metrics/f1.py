"""F1 of the positive candidate: 2·TP / (2·TP + FP + FN) over candidates ``[negative, positive]``.

0 where nothing is positive, neither truth nor prediction. A sample whose candidates tie counts as
half a positive prediction.
"""

from __future__ import annotations

import numpy as np

from matboard.metrics.metric import Array, Metric, Weighted, shares

_TINY = np.finfo(np.float64).tiny


def _weighted(scores: Array, labels: Array) -> Weighted:
    said = shares(scores)[:, 1]
    true = labels == 1
    twice_hit = 2 * said * true
    total = said + true
    return lambda weights: weights @ twice_hit / np.maximum(weights @ total, _TINY)


METRIC = Metric(
    "F1",
    _weighted,
    candidates=2,
    of_each=5,  # measured: with fewer, intervals hold the truth less often than they say
)
