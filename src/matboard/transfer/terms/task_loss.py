"""The task itself: how unlikely the right answer is (arXiv 2404.11207, Eq. 3).

    L_LLM = −(1/N) Σ_i Σ_t log p(y_it | X_p, question, y_i,<t)

| theirs    | ours                                       |
|-----------|--------------------------------------------|
| L_LLM     | `TaskLoss`                                 |
| y, N      | a sample's answer, `Batches.size`          |

Eq. 3 sums a sample's tokens and means over samples: ``sample_sum``. The authors' code means over
all answer tokens of the batch, ``token_mean``, and trains the answer's end-of-sequence token too,
which its scoring leaves out: ``terminator``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from matboard.transfer.passes import ModelPass, Needs
from matboard.transfer.terms.term import ModelTerm, Scalar


@dataclass(frozen=True, kw_only=True)
class TaskLoss(ModelTerm):
    """Negative log-likelihood of the answers.

    Attributes:
        form: what it is a mean over, samples or tokens.
        terminator: whether the end-of-sequence token is trained too.
    """

    name: ClassVar[str] = "task_loss"
    title: ClassVar[str] = "task loss"
    weight: float = 1.0
    form: Literal["sample_sum", "token_mean"] = "sample_sum"
    terminator: bool = False

    @property
    def needs(self) -> Needs:
        ending = frozenset({self.terminator})
        return Needs(answers=ending, counts=self.form == "token_mean")

    def value(self, seen: ModelPass) -> Scalar:
        """See `ModelTerm.value`."""
        return seen.answers(self.terminator).negative_log_likelihood.float().sum()

    def units(self, seen: ModelPass) -> int:
        """See `ModelTerm.units`: answer tokens."""
        return int(seen.answers(self.terminator).token_count.sum())
