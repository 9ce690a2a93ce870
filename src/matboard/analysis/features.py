"""What a prompt does to what a model's eye makes of pictures: how far it moves each picture's
features, and whether pictures of one class still stand together (the feature corruption of arXiv
2404.11207, Fig. 3).

=============  ====================================================================================
their symbol   our name
=============  ====================================================================================
f_θ(X)         a row of ``clean``: the features of a picture, meaned over its visual tokens
f_θ(X_p)       the same row of ``prompted``
=============  ====================================================================================

The paper draws features and gives no number. Ours: the drift ‖f(X) − f(X_p)‖ of each picture, to be
read beside the `spread`, the mean distance of two clean pictures; and the silhouette (Rousseeuw
1987), which is 1 where classes are far apart and 0 where they lie upon each other. Both are
measured on the features, not on their drawing by t-SNE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError
from matboard.extras import needed

Features: TypeAlias = NDArray[np.float64]
"""``picture dim``."""

PERPLEXITY = 30.0
"""Of t-SNE: van der Maaten and Hinton (2008) recommend 5 to 50; 30 is scikit-learn's."""


def drift(clean: Features, prompted: Features) -> NDArray[np.float64]:
    """‖f(X) − f(X_p)‖₂ of each picture. Raises InputError where the shapes differ."""
    if clean.shape != prompted.shape or clean.ndim != 2:
        raise InputError(
            "Drift is measured between the same pictures' features, picture × dim, but their shapes"
            f" are {clean.shape} and {prompted.shape}."
        )
    return np.asarray(np.linalg.norm(clean - prompted, axis=1))


def spread(features: Features) -> float:
    """The mean distance of two different pictures; 0 of one picture."""
    n = len(features)
    if n < 2:
        return 0.0
    with needed():
        from sklearn.metrics import pairwise_distances
    return float(pairwise_distances(features).sum() / (n * (n - 1)))


def silhouette(features: Features, labels: Sequence[str]) -> float | None:
    """The mean silhouette of pictures among their classes, in [−1, 1]; None where there is none:
    of a single class, or where every picture is its own.

    Raises:
        InputError: as many labels as pictures are needed.
    """
    if len(labels) != len(features):
        raise InputError(
            f"{len(features)} pictures need as many labels, but {len(labels)} came."
        )
    if not 2 <= len(set(labels)) < len(labels):
        return None
    with needed():
        from sklearn.metrics import silhouette_score
    return float(silhouette_score(features, list(labels)))


def embed(features: Features, seed: int = 0) -> NDArray[np.float64]:
    """t-SNE: ``picture 2``, in [−1, 1]. Pictures under several conditions are embedded together,
    one below the other, so that they can be compared.

    Raises:
        InputError: fewer than three rows.
    """
    if len(features) < 3:
        raise InputError(
            f"t-SNE needs at least three rows of features, but {len(features)} came."
        )
    with needed():
        from sklearn.manifold import TSNE
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    options: dict[str, Any] = {"perplexity": perplexity, "random_state": seed}
    points = TSNE(init="pca", **options).fit_transform(features.astype(np.float32))
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return np.asarray(centred / (np.abs(centred).max() or 1.0), dtype=np.float64)
