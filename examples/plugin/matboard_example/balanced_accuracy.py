"""A metric: the mean over classes of the accuracy within each, so that large ones count no more."""

from __future__ import annotations

import numpy as np

from matboard.metrics.metric import Array, Metric, Weighted, shares


def _weighted(scores: Array, labels: Array) -> Weighted:
    credit = shares(scores)[np.arange(len(labels)), labels]
    classes = [labels == label for label in np.unique(labels)]

    def mean_over_classes(weights: Array) -> Array:
        recalls = []
        for inside in classes:
            of_class = weights[:, inside]
            total = of_class.sum(axis=1)
            hits = of_class @ credit[inside]
            recalls.append(
                np.where(total > 0, hits / np.maximum(total, 1e-300), np.nan)
            )
        return np.asarray(np.nanmean(recalls, axis=0))

    return mean_over_classes


METRIC = Metric("balanced accuracy", _weighted)
