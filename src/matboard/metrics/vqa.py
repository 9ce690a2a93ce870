"""VQA accuracy (Antol et al., arXiv 1505.00468): an answer is right in so far as people gave it.

Of ten people's answers each set of nine is compared with what was written: it is as right as a
third of those of the nine who said the same, at most 1; the mean over the ten sets counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matboard.errors import InputError
from matboard.metrics.answers import normal_form
from matboard.metrics.metric import Array, Metric, Weighted

ENOUGH = 3
"""So many people who said the same make an answer right."""


def vqa_credit(text: str, answers: Sequence[str], votes: Sequence[int] = ()) -> float:
    """How right a generated text is, in [0, 1].

    Compared is the whole text: case, punctuation, accents, articles and number words make no
    difference, other words do.

    Args:
        answers: those that people gave, each once.
        votes: how many gave each; without votes, or with fewer than four, any of them is right.
    """
    said = normal_form(text)
    same = [normal_form(answer) == said for answer in answers]
    people = sum(votes)
    if people <= ENOUGH:
        return float(any(same))
    agreed = sum(count for count, is_same in zip(votes, same, strict=True) if is_same)
    without_one = agreed * min(1.0, (agreed - 1) / ENOUGH)
    without_another = (people - agreed) * min(1.0, agreed / ENOUGH)
    return (without_one + without_another) / people


def _weighted(scores: Array, labels: Array) -> Weighted:
    credit = scores[np.arange(len(labels)), labels]
    # imagined samples, which intervals put beside the real ones, are right or wrong beyond measure
    credit = np.where(np.isinf(credit), credit > 0, credit)
    if credit.min() < 0 or credit.max() > 1:
        raise InputError(
            "VQA accuracy is the mean of how right written answers are, from 0 to 1, but the"
            f" scores run from {credit.min():g} to {credit.max():g}; judge by generation."
        )
    return lambda weights: weights @ credit / weights.sum(axis=1)


METRIC = Metric("VQA accuracy", _weighted)
