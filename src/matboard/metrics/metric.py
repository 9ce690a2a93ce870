"""What a metric is: a function of candidate scores, true labels and sample weights.

Weights of one give the metric itself, and every interval is a matter of other weights (see
``intervals``), so no metric has a second implementation there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Weighted: TypeAlias = Callable[[Array], Array]
"""Weights ``rows × n`` → the metric of each row; NaN where it is not defined."""


@dataclass(frozen=True)
class Metric:
    """A metric: an entry of ``METRICS``, one file each.

    Attributes:
        title: what tables call it.
        weighted: scores ``n × K`` and labels ``n``, checked, → the metric as a function of weights.
        candidates: how many candidates it needs; None where any number will do.
        undefined: what it lacks where it is not defined, for the error: "it needs …".
        of_each: how many samples of each candidate an interval needs.
        imagined: weight of an imagined sample in an interval (see ``intervals``).
    """

    title: str
    weighted: Callable[[Array, Array], Weighted]
    candidates: int | None = None
    undefined: str = ""
    of_each: int = 0
    imagined: float = 1.0


def shares(scores: Array) -> NDArray[np.float64]:
    """Per sample and candidate, how much it is what the model said: 1 for the likeliest candidate;
    where k are exactly as likely, 1/k for each of them.

    So nothing depends on the order of the candidates. A tie is two candidates that the model
    cannot tell apart (see ``tied_candidates``), and a coin would be right as often.
    """
    best = scores == scores.max(axis=1, keepdims=True)
    return np.asarray(best / best.sum(axis=1, keepdims=True))
