"""Task semantics enrichment: how near the picture is to its caption (arXiv 2404.11207, Eq. 5).

    L_TSE = exp(τ · cos(image features of T_p(X), text features of the caption))

| theirs | ours                                                        |
|--------|-------------------------------------------------------------|
| L_TSE  | `SemanticEnrichment`; λ₂ is its ``weight``, with sign −1    |
| τ      | ``temperature``                                             |
| CLIP   | the guide                                                   |

The authors' code leaves the exponential out and takes τ to be the guide's logit scale (≈ 100):
form ``scaled_cosine``, temperature None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from matboard.tasks.task import Sample
from matboard.transfer.passes import GuidePass
from matboard.transfer.terms.term import GuideTerm, Scalar

Form = Literal["exponential", "scaled_cosine"]


@dataclass(frozen=True, kw_only=True)
class SemanticEnrichment(GuideTerm):
    """Similarity of each prompted picture to its own caption, as the guide sees it.

    Attributes:
        form: exp(τ·cos) or τ·cos.
        temperature: τ; None takes the guide's logit scale. The paper gives no value; 1 is a guess,
            since exp(100·cos) would drown every other term.
    """

    name: ClassVar[str] = "semantic_enrichment"
    title: ClassVar[str] = "semantic enrichment"
    sign: ClassVar[float] = -1.0
    form: Form = "exponential"
    temperature: float | None = 1.0

    def value(self, seen: GuidePass) -> Scalar:
        """See `GuideTerm.value`."""
        captions = [caption(sample) for sample in seen.samples]
        temperature = seen.logit_scale if self.temperature is None else self.temperature
        text_features = seen.text_features(captions)
        return similarity(seen.image_features, text_features, temperature, self.form)


def caption(sample: Sample) -> str:
    """The sample's caption, or one made of its answer, worded as in the authors' code."""
    return sample.caption or f"this is a photo of a {sample.answer}"


def similarity(
    image_features: Float[Tensor, "batch dim"],
    text_features: Float[Tensor, "batch dim"],
    temperature: float,
    form: Form,
) -> Scalar:
    """L_TSE, summed over the batch; both inputs are L2-normalised."""
    cosine = (image_features.float() * text_features.float()).sum(dim=-1)
    scaled = temperature * cosine
    return scaled.exp().sum() if form == "exponential" else scaled.sum()
