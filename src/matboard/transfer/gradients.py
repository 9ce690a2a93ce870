"""Gradients of an objective at the canvas: picture by picture as backpropagation finds them, then
summed over batch, models and terms, and taken apart by term where that is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from matboard.transfer.pictures import outlier_share
from matboard.transfer.processes import Processes

Named: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Summand:
    """A term's value in one step.

    Attributes:
        name: the term's.
        value: as a graph, before its weight.
        weight: signed.
    """

    name: str
    value: Tensor
    weight: float


@dataclass(frozen=True)
class LeafGradients:
    """What one backward pass found for one part of a batch.

    Attributes:
        model: the source model that it went through; None for the guide and the canvas.
        losses: term → its value.
        share: what the model's losses count for, among all models.
        pictures: each picture's gradient, ``batch 3 size size``.
        terms: term → its own part of that; empty unless it was asked for.
    """

    model: str | None
    losses: Named
    share: float
    pictures: Tensor
    terms: Named


@dataclass
class PartGradients:
    """What backpropagation found for one part of a batch, picture by picture.

    Attributes:
        apart: whether each term's own gradient is kept.
        leaves: of every model, then of the guide and of the canvas.
    """

    apart: bool
    leaves: list[LeafGradients] = field(default_factory=list)

    def add(
        self,
        leaf: Tensor,
        summands: Sequence[Summand],
        share: float = 1.0,
        model: str | None = None,
    ) -> None:
        """Backpropagate summands to ``leaf``, weighted, times ``share``."""
        weighted = [share * s.weight * s.value for s in summands]
        terms: Named = {}
        if self.apart:
            terms = _apart(summands, weighted, leaf)
            gradient = torch.stack(list(terms.values())).sum(dim=0)
        else:
            total = sum(weighted, leaf.new_zeros(()))
            (gradient,) = torch.autograd.grad(total, leaf)
        losses = {s.name: s.value.detach() for s in summands}
        self.leaves.append(LeafGradients(model, losses, share, gradient, terms))

    @property
    def pictures(self) -> Tensor:
        """Each picture's gradient over all models and terms, ``batch 3 size size``."""
        first, *others = (leaf.pictures for leaf in self.leaves)
        return sum(others, first)

    def over_batch(self, weights: Tensor | None) -> Gradients:
        """Over the pictures.

        Args:
            weights: what each picture's gradient is multiplied by, ``batch``; None for nothing.
        """
        out = Gradients()
        for leaf in self.leaves:
            gradient = _over_batch(leaf.pictures, weights)
            out.total = out.total.to(gradient.device) + gradient
            for name, value in leaf.losses.items():
                _increase(out.losses, name, leaf.share * value)
            for name, pictures in leaf.terms.items():
                _increase(out.terms, name, _over_batch(pictures, weights))
            if leaf.model is not None:
                out.models[leaf.model] = {**leaf.losses, "gradient": gradient}
        return out


@dataclass
class Gradients:
    """What backpropagation found, summed over one part of a batch or over all of it.

    Attributes:
        total: the gradient at the canvas, ``3 size size``.
        losses: term → its value, mean over source models.
        terms: term → its own part of the gradient; empty unless they were taken apart.
        models: source model → the values of its terms, and its ``gradient``.
        pictures: the norm of each picture's gradient over the prompt's pixels, before anything was
            made of it; known of the whole batch.
        float32_cosine: the cosine of ``total`` to the same in float32; known of the first batch of
            a fit in lower precision.
    """

    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    losses: Named = field(default_factory=dict)
    terms: Named = field(default_factory=dict)
    models: dict[str, Named] = field(default_factory=dict)
    pictures: Tensor = field(default_factory=lambda: torch.zeros(0))
    float32_cosine: float | None = None

    @property
    def outlier_share(self) -> float | None:
        """See `pictures.outlier_share`."""
        return outlier_share(self.pictures)

    def norms(self) -> dict[str, float]:
        """L2 norms of the gradient, and of each term's own where they were kept."""
        norms = {}
        for name, gradient in self.terms.items():
            norms[name] = float(gradient.norm())
        norms["total"] = float(self.total.norm())
        return norms

    def cosines(self, mask: Tensor) -> dict[str, float]:
        """Cosines between the terms' gradients on the prompt's pixels."""
        masked = {}
        for name, gradient in self.terms.items():
            masked[name] = (gradient * mask).flatten()
        cosines = {}
        for one, other in combinations(masked, 2):
            cosine = cosine_similarity(masked[one], masked[other], dim=0)
            cosines[f"{one}~{other}"] = float(cosine)
        return cosines

    def per_model(self) -> dict[str, dict[str, float]]:
        """Each source model's terms, and the norm of its (already shared) gradient."""
        models = {}
        for name, values in self.models.items():
            terms = dict(values)
            norm = float(terms.pop("gradient").norm())
            losses = {term: float(value) for term, value in terms.items()}
            models[name] = {**losses, "gradient_norm": norm}
        return models


def summed(
    parts: Sequence[Gradients], pictures: Tensor, processes: Processes
) -> Gradients:
    """The whole batch's gradients, from those of our parts and of other processes' parts.

    Args:
        pictures: the norm of each picture's gradient, of all parts.
    """
    models = {}
    for name in parts[0].models:
        models[name] = _summed([part.models[name] for part in parts], processes)
    return Gradients(
        total=processes.sum([part.total for part in parts]),
        losses=_summed([part.losses for part in parts], processes),
        terms=_summed([part.terms for part in parts], processes),
        models=models,
        pictures=pictures.flatten(),
    )


def _summed(parts: Sequence[Named], processes: Processes) -> Named:
    return {name: processes.sum([part[name] for part in parts]) for name in parts[0]}


def _increase(sums: Named, name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _over_batch(pictures: Tensor, weights: Tensor | None) -> Tensor:
    """The sum of the pictures' gradients, weighted."""
    if weights is not None:
        pictures = pictures * weights.view(-1, 1, 1, 1)
    return pictures.sum(dim=0)


def _apart(
    summands: Sequence[Summand], weighted: Sequence[Tensor], leaf: Tensor
) -> Named:
    """Term → its gradient, through the graph that all share."""
    last = len(weighted) - 1
    pieces = {}
    for i, value in enumerate(weighted):
        (piece,) = torch.autograd.grad(value, leaf, retain_graph=i < last)
        pieces[summands[i].name] = piece
    return pieces
