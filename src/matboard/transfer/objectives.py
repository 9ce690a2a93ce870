"""What a transferable prompt is trained for: the task, feature consistency, semantic enrichment.

Zhang et al., "Exploring the Transferability of Visual Prompting for Multimodal Large Language
Models", CVPR 2024.

| theirs                          | here                                                           |
|---------------------------------|----------------------------------------------------------------|
| L_LLM, Eq. 3                    | `task_loss`                                                    |
| L_FCA, Eq. 4; f_θ; X; T_p(X)    | `feature_consistency`; a model's tap; clean; prompted          |
| L_TSE, Eq. 5; τ                 | `semantic_enrichment`; `temperature`                           |
| L, Eq. 6; λ₁, λ₂                | `Objective`; `consistency_weight`, `enrichment_weight`         |

The authors' published code differs from their paper in every one of the three terms; both forms
stand here, and `PRESETS` names them: ``paper`` and ``authors-code``.

All three losses are *sums over the batch*: the caller divides by the size of the whole batch, which
may be spread over several processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from matboard.errors import ConfigError

TaskForm = Literal["sample_sum", "token_mean"]
ConsistencyForm = Literal["half_squared", "l2_mean_tokens"]
EnrichmentForm = Literal["exponential", "scaled_cosine"]
Reference = Literal["full", "shrunk"]

TASK, CONSISTENCY, ENRICHMENT = "task_loss", "feature_consistency", "semantic_enrichment"
"""What the three terms are called in logs."""


@dataclass(frozen=True)
class Objective:
    """L = L_LLM + λ₁·L_FCA − λ₂·L_TSE (Eq. 6), with its forms.

    Attributes:
        consistency_weight: λ₁ ≥ 0.
        enrichment_weight: λ₂ ≥ 0; L_TSE is a similarity, so it is subtracted.
        task_form: Eq. 3 sums a sample's answer tokens and means over samples; the code means over
            all tokens of the batch.
        terminator: whether the answer's end-of-sequence token is trained too (the code does, its
            scoring does not).
        consistency_form: Eq. 4 is ½‖·‖² over all features; the code takes the mean over tokens of
            ‖·‖₂.
        consistency_tap: where features are read: "vision" (the paper's f_θ) or "projector" (the
            code).
        consistency_reference: "full" is X as in Eq. 4; "shrunk" is the unprompted, black-bordered
            picture of the code.
        enrichment_form: Eq. 5 is exp(τ·cos); the code uses τ·cos with τ the guide's logit scale.
        temperature: τ; None takes the guide's logit scale. The paper gives no value; 1 in ``paper``
            is a guess, since exp(100·cos) would drown every other term.
    """

    consistency_weight: float = 0.0
    enrichment_weight: float = 0.0
    task_form: TaskForm = "sample_sum"
    terminator: bool = False
    consistency_form: ConsistencyForm = "half_squared"
    consistency_tap: str = "vision"
    consistency_reference: Reference = "full"
    enrichment_form: EnrichmentForm = "exponential"
    temperature: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("consistency_weight", "enrichment_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; expected a number of at least 0 (the sign of"
                    " Eq. 6 is built in)."
                )


PRESETS: dict[str, Objective] = {
    "paper": Objective(),
    "authors-code": Objective(
        task_form="token_mean",
        terminator=True,
        consistency_form="l2_mean_tokens",
        consistency_tap="projector",
        consistency_reference="shrunk",
        enrichment_form="scaled_cosine",
        temperature=None,
    ),
}


def task_loss(negative_log_likelihood: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """L_LLM (Eq. 3): −log p(answer | picture, question), each sample's summed over its tokens,
    summed over the batch.
    """
    return negative_log_likelihood.float().sum()


def task_units(token_count: Int[Tensor, " batch"], form: TaskForm) -> int:
    """What `task_loss` is to be divided by: samples (Eq. 3) or, as in the authors' code, answer
    tokens.
    """
    return int(token_count.sum()) if form == "token_mean" else len(token_count)


def feature_consistency(
    prompted: Float[Tensor, "batch token dim"],
    clean: Float[Tensor, "batch token dim"],
    form: ConsistencyForm,
) -> Float[Tensor, ""]:
    """L_FCA (Eq. 4): how far the prompt moved the features, summed over the batch.

    ``half_squared`` = ½‖f(X) − f(T_p(X))‖₂²; ``l2_mean_tokens`` = mean over tokens of ‖·‖₂ along
    the channels.
    """
    moved = prompted.float() - clean.float()
    if form == "half_squared":
        return 0.5 * moved.square().sum()
    return _safe_norm(moved).mean(dim=1).sum()


def semantic_enrichment(
    image_features: Float[Tensor, "batch dim"],
    text_features: Float[Tensor, "batch dim"],
    temperature: float,
    form: EnrichmentForm,
) -> Float[Tensor, ""]:
    """L_TSE (Eq. 5): similarity of each prompted picture and its own caption, summed over the
    batch.

    Both inputs are L2-normalised. ``exponential`` = exp(τ·cos), ``scaled_cosine`` = τ·cos.
    """
    cosine = (image_features.float() * text_features.float()).sum(dim=-1)
    return (
        torch.exp(temperature * cosine) if form == "exponential" else temperature * cosine
    ).sum()


def _safe_norm(moved: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token"]:
    """The L2 norm, with gradient 0 instead of NaN where nothing moved."""
    squared = moved.square().sum(dim=-1)
    still = squared == 0
    return torch.where(still, 0.0, torch.where(still, 1.0, squared).sqrt())
