"""Gradients of an objective at the canvas, summed over batch, models and terms, and taken apart by
term where that is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

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


@dataclass
class Gradients:
    """What backpropagation found, for one part of a batch or for all of it.

    Attributes:
        apart: whether each term's own gradient is kept.
        total: the gradient at the canvas, ``3 size size``, summed over the batch.
        losses: term → its value, mean over source models.
        terms: term → its own part of the gradient; empty unless ``apart``.
        models: source model → the values of its terms, and its ``gradient``.
    """

    apart: bool
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    losses: Named = field(default_factory=dict)
    terms: Named = field(default_factory=dict)
    models: dict[str, Named] = field(default_factory=dict)

    def add(
        self,
        leaf: Tensor,
        summands: Sequence[Summand],
        share: float = 1.0,
        model: str | None = None,
    ) -> None:
        """Backpropagate summands to ``leaf``, weighted, times ``share``."""
        weighted = [share * s.weight * s.value for s in summands]
        if self.apart:
            gradient = self._apart(summands, weighted, leaf)
        else:
            total = sum(weighted, leaf.new_zeros(()))
            (gradient,) = torch.autograd.grad(total, leaf)
        over_batch = gradient.sum(dim=0)
        self.total = self.total.to(leaf.device) + over_batch
        values = {s.name: s.value.detach() for s in summands}
        for name, value in values.items():
            _increase(self.losses, name, share * value)
        if model is not None:
            self.models[model] = {**values, "gradient": over_batch}

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

    def _apart(
        self, summands: Sequence[Summand], weighted: Sequence[Tensor], leaf: Tensor
    ) -> Tensor:
        """The gradient of the sum, by those of its summands, through the graph that they share."""
        last = len(weighted) - 1
        pieces = []
        for i, value in enumerate(weighted):
            (piece,) = torch.autograd.grad(value, leaf, retain_graph=i < last)
            _increase(self.terms, summands[i].name, piece.sum(dim=0))
            pieces.append(piece)
        return torch.stack(pieces).sum(dim=0)


def summed(parts: Sequence[Gradients], processes: Processes) -> Gradients:
    """The whole batch's gradients, from those of our parts and of other processes' parts."""
    models = {}
    for name in parts[0].models:
        models[name] = _summed([part.models[name] for part in parts], processes)
    return Gradients(
        apart=parts[0].apart,
        total=processes.sum([part.total for part in parts]),
        losses=_summed([part.losses for part in parts], processes),
        terms=_summed([part.terms for part in parts], processes),
        models=models,
    )


def _summed(parts: Sequence[Named], processes: Processes) -> Named:
    return {name: processes.sum([part[name] for part in parts]) for name in parts[0]}


def _increase(sums: Named, name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value
