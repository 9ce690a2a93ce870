"""Which of a classifier's own classes stands for which answer (arXiv 2211.11635, §3-4).

A mapping is one-to-one. It is drawn by lot (RLM), or made from how often training pictures of each
answer are taken for each class (FLM):

    repeat: (c, k) = argmax counts;  answer k ↦ class c;  strike out c and k

Counted once, on pictures without a prompt, that is FLM; counted anew, under the prompt as it is at
the time, it is iterative (ILM-VP). Who counts, and when, is not said here.

| theirs                | ours                            |
|-----------------------|---------------------------------|
| source, target label  | class, answer                   |
| RLM, FLM, ILM         | rule ``random``, ``frequency``, ``iterative`` |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from matboard.errors import ModelError

Rule: TypeAlias = Literal["random", "frequency", "iterative"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class LabelMapping:
    """Answer → class.

    Attributes:
        answers: in the order of ``classes``.
        classes: the class that stands for each.
    """

    answers: tuple[str, ...]
    classes: tuple[int, ...]

    def columns(self, candidates: Sequence[Sequence[str]]) -> list[list[int]]:
        """The class of every candidate, sample by sample. Raises ModelError for an answer that is
        not mapped.
        """
        place = dict(zip(self.answers, self.classes, strict=True))
        for row in candidates:
            for name in row:
                if name not in place:
                    raise ModelError(
                        f"No class stands for the answer {name!r}: no training sample has it among"
                        " its candidates. Give training samples the candidates of the test samples."
                    )
        return [[place[name] for name in row] for row in candidates]


def frequency_mapping(
    counts: Int[np.ndarray, "answer own"],
) -> NDArray[np.int64]:
    """FLM: the class of each answer, greedily, the most frequent pair first; of pairs that are
    alike, the lower class, then the earlier answer.

    Args:
        counts: how many training pictures of each answer the classifier took for each class.
    """
    answers = len(counts)
    left = counts.T.astype(np.int64)
    chosen = np.zeros(answers, dtype=np.int64)
    for _ in range(answers):
        own, answer = np.unravel_index(left.argmax(), left.shape)
        chosen[answer] = own
        left[own] = -1
        left[:, answer] = -1
    return chosen


def random_mapping(answers: int, classes: int, seed: int = 0) -> NDArray[np.int64]:
    """RLM: a class for each answer, drawn by lot without replacement."""
    drawn: NDArray[np.int64] = np.random.default_rng(seed).permutation(classes)
    return drawn[:answers]


def counted(
    taken_for: NDArray[np.int64], labels: Sequence[int], answers: int, classes: int
) -> Int[np.ndarray, "answer own"]:
    """How many pictures of each answer were taken for each class.

    Args:
        taken_for: the likeliest class of every picture.
        labels: the place of its answer.
    """
    counts = np.zeros((answers, classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(labels), taken_for), 1)
    return counts
