"""How the gradients of a batch's pictures are put together.

Gradients at the pixels are heavy-tailed: often one picture of a batch is longer than all others
together, and so decides the step alone; and just such gradients are ill-conditioned, in bfloat16
they turn. They are known picture by picture anyway, so each can be bounded before they are summed,
as Abadi et al. (2016, arXiv 1607.00133, Algorithm 1) bound those of samples, at their median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

PerPicture: TypeAlias = Literal["sum", "clip", "normalise"]

EPSILON = 1e-10
"""Added to a norm that is divided by, as in the TVP authors' code."""


@dataclass(frozen=True)
class PictureRule:
    """What becomes of each picture's gradient before the sum over the batch.

    Attributes:
        per_picture: ``sum`` leaves it as it is; ``clip`` shortens it to the median norm of the
            batch where it is longer; ``normalise`` gives it the norm 1.
        mask: the prompt's own pixels, over which norms are taken, 0 or 1, as `PixelPrompt.mask`.
    """

    per_picture: PerPicture
    mask: Tensor

    def norms(self, gradients: Float[Tensor, "batch 3 size size"]) -> Tensor:
        """The L2 norm of each picture's gradient, ``batch``."""
        norms: Tensor = (gradients * self.mask).flatten(1).norm(dim=1)
        return norms

    def weights(self, norms: Tensor) -> Tensor | None:
        """What each picture's gradient is multiplied by; None where nothing is.

        Args:
            norms: of all pictures of the batch, over all its parts; of any shape.
        """
        if self.per_picture == "sum":
            return None
        if self.per_picture == "normalise":
            return 1 / (norms + EPSILON)
        median = norms.quantile(0.5)
        return torch.where(norms > median, median / norms, torch.ones_like(norms))


def outlier_share(norms: Tensor) -> float | None:
    """Which share of the summed squared norms the largest picture holds; None for fewer than two
    pictures, and where there is no gradient, or none that is finite.
    """
    energies = norms.flatten().double().square()
    total = energies.sum()
    if len(energies) < 2 or not 0 < total < torch.inf:
        return None
    return float(energies.max() / total)
