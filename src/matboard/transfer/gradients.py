"""Gradients of an objective's terms at the canvas: added up over models and processes, and taken
apart for diagnosis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from matboard.transfer.processes import Processes


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


class Gradients:
    """Gradients at the canvas, ``3 size size``, summed over batch, models and terms.

    Args:
        apart: also keep each term's own.
    """

    def __init__(self, apart: bool) -> None:
        self.apart = apart
        self.total: Tensor = torch.zeros(())
        self.losses: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}
        self._terms: dict[str, Tensor] = {}
        self._models: dict[str, dict[str, Tensor]] = {}

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
            pieces = _backpropagated_apart(weighted, leaf)
            gradient = pieces[0] if len(pieces) == 1 else torch.stack(pieces).sum(dim=0)
            self._keep(summands, pieces)
        else:
            (gradient,) = torch.autograd.grad(sum(weighted, leaf.new_zeros(())), leaf)
        gradient = gradient.sum(dim=0)
        self.total = self.total.to(gradient.device) + gradient
        for s in summands:
            self.losses[s.name] = self.losses.get(s.name, 0) + share * s.value.detach()
            self.weights[s.name] = s.weight
        if model is not None:
            losses = {s.name: s.value.detach() for s in summands}
            self._models[model] = {**losses, "gradient": gradient}

    def diagnosis(
        self, mask: Tensor, processes: Processes
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Norms of the terms' canvas gradients, and cosines between them on the prompt's pixels."""
        summed = {name: processes.sum(gradient) for name, gradient in self._terms.items()}
        norms = {name: float(gradient.norm()) for name, gradient in summed.items()}
        masked = {name: (gradient * mask).flatten() for name, gradient in summed.items()}
        cosines = {}
        for one, other in combinations(masked, 2):
            cosine = cosine_similarity(masked[one], masked[other], dim=0)
            cosines[f"{one}~{other}"] = float(cosine)
        return norms, cosines

    def per_model(self, processes: Processes) -> dict[str, dict[str, float]]:
        """Each source model's terms, and the norm of its (already shared) gradient."""
        return {name: _summary(values, processes) for name, values in self._models.items()}

    def _keep(self, summands: Sequence[Summand], pieces: Sequence[Tensor]) -> None:
        for s, piece in zip(summands, pieces):
            self._terms[s.name] = self._terms.get(s.name, 0) + piece.sum(dim=0)


def _backpropagated_apart(weighted: Sequence[Tensor], leaf: Tensor) -> list[Tensor]:
    """The gradient of each, through the graph that they share."""
    last = len(weighted) - 1
    pieces = []
    for i, value in enumerate(weighted):
        (piece,) = torch.autograd.grad(value, leaf, retain_graph=i < last)
        pieces.append(piece)
    return pieces


def _summary(values: dict[str, Tensor], processes: Processes) -> dict[str, float]:
    summed = {name: processes.sum(value) for name, value in values.items()}
    gradient = summed.pop("gradient")
    losses = {name: float(value) for name, value in summed.items()}
    return {**losses, "gradient_norm": float(gradient.norm())}
