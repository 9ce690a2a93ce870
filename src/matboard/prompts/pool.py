"""Token prompts and the pool they are drawn from: L2P (arXiv 2112.08654) and CODA-Prompt's weights
(arXiv 2211.13218).

| theirs | ours |
|---|---|
| q(x), the frozen ViT's CLS | ``query`` |
| k_m, P_m; M, L_p, N | ``keys``, ``prompts``; ``size``, ``length``, ``top_k`` |
| γ, cosine distance (L2P Eq. 3) | 1 − ``similarity`` |
| K_x, the N keys nearest to q(x) (Eq. 3) | ``chosen`` |
| Σ_{K_x} γ(q(x), k) (Eq. 5, second term) | loss ``pull`` |
| α_m = γ(q(x) ⊙ A_m, K_m), p = Σ α_m P_m (CODA Eq. 4–6) | weighting ``soft`` |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from matboard.errors import ConfigError

Choosing = Literal["per_sample", "batchwise"]
Queries: TypeAlias = Float[Tensor, "batch dim"]
Pictures: TypeAlias = UInt8[Tensor, "batch 3 side side"]
Labels: TypeAlias = Int[Tensor, " batch"]
PromptTokens: TypeAlias = Float[Tensor, "batch prompt dim"]
UnitPictures: TypeAlias = Float[Tensor, "count 3 height width"]
"""Pictures in [0, 1]."""
Embed: TypeAlias = Callable[[UnitPictures], Float[Tensor, "count token dim"]]
"""Pictures → the tokens a backbone makes of them."""


@dataclass(frozen=True)
class Prompted:
    """Prompt tokens for a batch.

    Attributes:
        tokens: what enters the backbone.
        losses: what the source asks to be minimised besides the task, each before its weight:
            ``pull``, ``reconstruction``, ``kl``.
        chosen: which prompts of a pool each sample took.
        similarity: of each sample's query with every key, before the choice.
    """

    tokens: PromptTokens
    losses: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    chosen: Int[Tensor, "batch top_k"] | None = None
    similarity: Float[Tensor, "batch size"] | None = None


class PromptSource(nn.Module, ABC):
    """Where a sample's token prompts come from: a pool, pictures, a generator."""

    @abstractmethod
    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """Prompts for a batch; a sample's prompts depend on that sample alone, but for selection
        ``batchwise``.
        """

    def begin(self, queries: Queries, images: Pictures, labels: Labels) -> None:
        """Told what a task's training samples are, before it is learned; the first time it may
        start from them.
        """

    def generate(self, query: Queries) -> PromptTokens | None:
        """What a network makes of queries alone, without noise, so that it can be held fast; None
        where no network does.
        """
        return None


class Selector(nn.Module):
    """Keys, and the choice by them.

    Args:
        selection: ``per_sample``; or ``batchwise``, the choice of the majority for the whole batch,
            as L2P's codes do in training and at test, which tells a learner what a batch of one
            task has in common: for parity only.
        bounds: keys start uniform between these.

    Raises:
        ConfigError: a top-k above the pool's size, bounds in the wrong order.
    """

    def __init__(
        self,
        size: int,
        dim: int,
        top_k: int,
        selection: Choosing = "per_sample",
        bounds: tuple[float, float] = (-1, 1),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= size:
            raise ConfigError(
                f"top_k is {top_k}, but the pool holds {size} prompts; expected 1 to {size}."
            )
        self.top_k = top_k
        self.selection = selection
        self.keys = nn.Parameter(uniform((size, dim), bounds, seed))

    def forward(
        self, query: Queries
    ) -> tuple[
        Int[Tensor, "batch top_k"], Float[Tensor, "batch size"], Float[Tensor, ""]
    ]:
        """(chosen, similarity, pull): pull is L2P Eq. 5's second term, Σ over the chosen of 1 −
        cosine, mean over the batch.
        """
        keys = F.normalize(self.keys, dim=-1)
        similarity = F.normalize(query, dim=-1) @ keys.T
        chosen = similarity.topk(self.top_k, dim=-1).indices
        if self.selection == "batchwise":
            voted = majority(chosen, len(keys))
            chosen = voted.expand(len(query), -1)
        distances = 1 - similarity.gather(1, chosen)
        return chosen, similarity, distances.sum(dim=1).mean()


class PromptPool(PromptSource):
    """A keyed pool of learned token prompts.

    Args:
        length: tokens of one prompt.
        weighting: ``hard`` hands over the chosen prompts' tokens one after the other, ``top_k ·
            length`` of them; ``soft`` hands over ``length`` tokens, the sum of all prompts weighted
            by CODA's α, which has no pull.
        bounds: prompts and keys start uniform between these.
    """

    def __init__(
        self,
        size: int,
        length: int,
        dim: int,
        top_k: int,
        *,
        selection: Choosing = "per_sample",
        weighting: Literal["hard", "soft"] = "hard",
        bounds: tuple[float, float] = (-1, 1),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.selector = Selector(size, dim, top_k, selection, bounds, seed)
        self.count = length * top_k if weighting == "hard" else length
        self.prompts = nn.Parameter(uniform((size, length, dim), bounds, seed + 1))
        self.attention = (
            nn.Parameter(torch.ones(size, dim)) if weighting == "soft" else None
        )

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`; pictures are not looked at."""
        if self.attention is not None:
            attended = query[:, None] * self.attention
            alpha = F.cosine_similarity(attended, self.selector.keys, dim=-1)
            tokens = torch.einsum("bm,mld->bld", alpha, self.prompts)
            chosen = alpha.topk(self.selector.top_k, dim=-1).indices
            return Prompted(tokens, {}, chosen, alpha)
        chosen, similarity, pull = self.selector(query)
        tokens = self.prompts[chosen].flatten(1, 2)
        return Prompted(tokens, {"pull": pull}, chosen, similarity)


def majority(chosen: Int[Tensor, "batch top_k"], size: int) -> Int[Tensor, "1 top_k"]:
    """The prompts chosen most often in a batch; among equals the lower index."""
    votes = torch.bincount(chosen.flatten(), minlength=size)
    most_voted = votes.sort(descending=True, stable=True).indices
    return most_voted[: chosen.shape[1]][None]


def uniform(shape: tuple[int, ...], bounds: tuple[float, float], seed: int) -> Tensor:
    """Values drawn uniformly from [low, high) by a seed of their own. Raises ConfigError unless
    low < high.
    """
    low, high = bounds
    if not low < high:
        raise ConfigError(
            f"bounds are {low:g} and {high:g}; expected the lower one first."
        )
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * drawn
