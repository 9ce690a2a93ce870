"""A term of the objective: how much neighbouring pixels of a prompted canvas differ.

    L_TV = Σ_i mean |x_i[u, v] − x_i[u, v+1]| + mean |x_i[u, v] − x_i[u+1, v]|

Smooth borders survive JPEG better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from matboard.models.capabilities import Images
from matboard.transfer.terms.term import CanvasTerm, Scalar


@dataclass(frozen=True, kw_only=True)
class TotalVariation(CanvasTerm):
    """Differences between neighbouring pixels.

    Attributes:
        form: of each difference, its size or its square.
    """

    name: ClassVar[str] = "total_variation"
    title: ClassVar[str] = "total variation"
    form: Literal["absolute", "squared"] = "absolute"

    def value(self, canvases: Images) -> Scalar:
        """See `CanvasTerm.value`."""
        total = canvases.new_zeros(())
        for axis in (2, 3):
            steps = canvases.diff(dim=axis)
            steps = steps.abs() if self.form == "absolute" else steps.square()
            total = total + steps.mean(dim=(1, 2, 3)).sum()
        return total
