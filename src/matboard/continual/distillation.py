"""Learning without forgetting (Li & Hoiem, arXiv 1606.09282), on logits and on a generator's
output.

| theirs | ours |
|---|---|
| y_o, ŷ_o: the old network's outputs and the new one's for old classes | ``teacher``, ``student`` |
| y'^(i) = y^(i)^(1/T) / Σ_j y^(j)^(1/T), Eq. 3 | softmax(logits / T), which is the same |
| L_old = −Σ_i y'_o^(i) log ŷ'_o^(i), Eq. 2 | `logit_distillation` |
| λ_o, T = 2 | the learner's weight ``distillation``, ``temperature`` |

Distilling logits also holds the new task back. `QueryMemory` instead keeps a generator's *output*
where old queries lie: ‖G(z) − G_old(z)‖² at z drawn from each old class's mean and deviations,
which is how hypernetworks are protected (von Oswald et al., arXiv 1906.00695, Eq. 2); its weight is
``generator_distillation``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

DRAWS = 32
"""Remembered queries drawn a step (a guess)."""


def logit_distillation(
    student: Float[Tensor, "batch class"],
    teacher: Float[Tensor, "batch class"],
    temperature: float = 2.0,
) -> Float[Tensor, ""]:
    """L_old, mean over the batch, in nats; no factor T², as in the paper."""
    targets = (teacher / temperature).softmax(dim=-1)
    log_shares = (student / temperature).log_softmax(dim=-1)
    return -(targets * log_shares).sum(dim=-1).mean()


class QueryMemory:
    """Per class, mean and deviations of its queries: a sketch to draw old queries from, without
    keeping pictures.
    """

    def __init__(self, classes: int, dim: int) -> None:
        self.mean = torch.zeros(classes, dim)
        self.deviation = torch.zeros(classes, dim)
        self.known = torch.zeros(classes, dtype=torch.bool)

    def add(self, queries: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]) -> None:
        """Remember the classes of these queries."""
        for label in labels.unique().tolist():
            rows = queries[labels == label]
            self.mean[label] = rows.mean(dim=0)
            self.deviation[label] = rows.std(dim=0, correction=0)
            self.known[label] = True

    def draw(
        self, count: int, generator: torch.Generator
    ) -> Float[Tensor, "count dim"]:
        """Queries of known classes, drawn with equal chance."""
        known = torch.nonzero(self.known).flatten()
        places = torch.randint(len(known), (count,), generator=generator)
        label = known[places]
        noise = torch.randn(count, self.mean.shape[1], generator=generator)
        return self.mean[label] + self.deviation[label] * noise

    def tensors(self) -> dict[str, Tensor]:
        """What is kept."""
        return {
            "memory.mean": self.mean,
            "memory.deviation": self.deviation,
            "memory.known": self.known,
        }
