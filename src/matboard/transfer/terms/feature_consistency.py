"""Feature consistency alignment: how far the prompt moved the features (arXiv 2404.11207, Eq. 4).

    L_FCA = ½ ‖f_θ(X) − f_θ(T_p(X))‖₂²

| theirs  | ours                                            |
|---------|-------------------------------------------------|
| L_FCA   | `FeatureConsistency`; λ₁ is its ``weight``      |
| f_θ     | a model's features at ``tap``                   |
| X       | the unprompted picture, see ``reference``       |
| T_p(X)  | the prompted canvas                             |

Eq. 4 is the form ``half_squared`` at the tap "vision", against the full picture. The authors' code
takes the mean over tokens of ‖·‖₂ behind the projector, against the shrunk picture in its black
border: ``l2_mean_tokens``, "projector", "shrunk".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.transfer.passes import ModelPass, Needs, Reference
from matboard.transfer.terms.term import ModelTerm, Scalar

Form = Literal["half_squared", "l2_mean_tokens"]


@dataclass(frozen=True, kw_only=True)
class FeatureConsistency(ModelTerm):
    """Distance of prompted from clean features.

    Attributes:
        form: ½‖·‖² over all features, or the mean over tokens of ‖·‖₂ along the channels.
        tap: where features are read.
        reference: the picture that "clean" means: as it is, or shrunk behind a black border.
    """

    name: ClassVar[str] = "feature_consistency"
    title: ClassVar[str] = "feature consistency"
    form: Form = "half_squared"
    tap: str = "vision"
    reference: Reference = "full"

    @property
    def needs(self) -> Needs:
        return Needs(taps=frozenset({self.tap}))

    def value(self, seen: ModelPass) -> Scalar:
        """See `ModelTerm.value`."""
        clean = seen.clean_features(self.tap, self.reference)
        return distance(seen.features(self.tap), clean, self.form)


def distance(
    prompted: Float[Tensor, "batch token dim"],
    clean: Float[Tensor, "batch token dim"],
    form: Form,
) -> Scalar:
    """L_FCA, summed over the batch."""
    moved = prompted.float() - clean.float()
    if form == "half_squared":
        return 0.5 * moved.square().sum()
    return _safe_norm(moved).mean(dim=1).sum()


def _safe_norm(moved: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token"]:
    """The L2 norm, with gradient 0 instead of NaN where nothing moved."""
    squared = moved.square().sum(dim=-1)
    still = squared == 0
    return torch.where(still, 0.0, torch.where(still, 1.0, squared).sqrt())
