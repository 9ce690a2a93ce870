"""The right answer against the others: what ranking judges, as a loss.

    L_C = −(1/N) Σ_i log ( Σ_{y ∈ right_i} exp s_iy / Σ_{y ∈ candidates_i} exp s_iy )

s_iy is what candidates are ranked by: the mean log-likelihood of an answer's tokens. It is softmax
cross-entropy over a sample's candidates, the loss of visual prompting for classifiers (Bahng et
al., arXiv 2203.17274, §3), with a language model in the classifier's place. The answer's own
likelihood (`task_loss`) may fall while it does: ranking is not changed by that, generation is.

Where there are more than ``most`` candidates, a sample is compared with wrong ones drawn evenly,
and each of them stands for those left out: its exp s is weighted by (number of wrong candidates) /
(number drawn) (Jean et al., arXiv 1412.2007, §3). The denominator is unbiased then; its logarithm
is biased downwards, by Jensen's inequality, the less the more are drawn.

| theirs            | ours                            |
|-------------------|---------------------------------|
| s_iy              | `ModelPass.candidate_scores`    |
| right, candidates | `Sample.right`, `Sample.candidates` |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ConfigError
from matboard.tasks.task import Sample
from matboard.transfer.passes import ModelPass, Needs
from matboard.transfer.terms.term import ModelTerm, Scalar


@dataclass(frozen=True, kw_only=True)
class CandidateContrast(ModelTerm):
    """Cross-entropy over each sample's candidate answers.

    Attributes:
        most: candidates of one sample that are compared, the right ones among them; at least 2.
    """

    name: ClassVar[str] = "candidate_contrast"
    title: ClassVar[str] = "candidate contrast"
    most: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < 2:
            raise ConfigError(
                f"{self.name}.most is {self.most}; expected at least 2 candidates to compare."
            )

    @property
    def needs(self) -> Needs:
        return Needs(candidates=self.most)

    def value(self, seen: ModelPass) -> Scalar:
        """See `ModelTerm.value`."""
        return self.each(seen.samples, seen.candidates, seen.candidate_scores).sum()

    def each(
        self,
        samples: Sequence[Sample],
        candidates: Sequence[Sequence[str]],
        scores: Float[Tensor, "batch candidate"],
    ) -> Float[Tensor, " batch"]:
        """L_C of each sample.

        Args:
            candidates: those that each sample is compared by.
            scores: theirs; −∞ in the columns that a sample does not fill.
        """
        right = torch.zeros_like(scores, dtype=torch.bool)
        weights = torch.zeros_like(scores, dtype=torch.float32)
        for row, sample in enumerate(samples):
            listed = candidates[row]
            wrong = sum(name not in sample.right for name in listed)
            standing_for = len(sample.candidates) - len(listed) + wrong
            for column, name in enumerate(listed):
                right[row, column] = name in sample.right
                if not right[row, column]:
                    weights[row, column] = math.log(standing_for / wrong)
        return contrast(scores.float() + weights, right)


def contrast(scores: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
    """L_C of scores and the places of the right answers, both ``batch candidate``."""
    of_right = scores.masked_fill(~right, -torch.inf).logsumexp(dim=1)
    return scores.logsumexp(dim=1) - of_right
