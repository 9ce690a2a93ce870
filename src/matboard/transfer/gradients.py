"""Gradients of an objective's terms at the canvas: added up over models and processes, and taken
apart for diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from matboard.transfer.objectives import TASK


@dataclass
class Processes:
    """The processes that share each batch; gradients are summed over them."""

    index: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Processes:
        """As `torchrun` started us, through Accelerate; one process otherwise."""
        from accelerate import PartialState

        state = PartialState(
            cpu=not torch.cuda.is_available()
        )  # left to itself it joins no processes on CPUs
        return cls(state.process_index, state.num_processes)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        summed: Tensor = reduce(tensor, reduction="sum")
        return summed


@dataclass(frozen=True)
class Term:
    """One term of the objective: its value as a graph, and its signed weight."""

    value: Tensor
    weight: float


class Gradients:
    """Gradients at the canvas, ``3 size size``, summed over batch, models and terms; taken apart by
    term where ``apart``.
    """

    def __init__(self, apart: bool) -> None:
        self.apart = apart
        self.total: Tensor = torch.zeros(())
        self.losses: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}
        self._terms: dict[str, Tensor] = {}
        self._models: dict[str, tuple[Tensor, Tensor]] = {}

    def add(
        self, leaf: Tensor, terms: Mapping[str, Term], share: float = 1.0, model: str | None = None
    ) -> None:
        """Backpropagate ``terms`` to ``leaf``, weighted, times ``share``."""
        if self.apart and len(terms) > 1:
            pieces = {
                name: torch.autograd.grad(
                    share * t.weight * t.value, leaf, retain_graph=i + 1 < len(terms)
                )[0]
                for i, (name, t) in enumerate(terms.items())
            }
            gradient = torch.stack(list(pieces.values())).sum(dim=0)
        else:
            (gradient,) = torch.autograd.grad(
                sum((share * t.weight * t.value for t in terms.values()), leaf.new_zeros(())), leaf
            )
            pieces = dict.fromkeys(terms, gradient) if len(terms) == 1 else {}
        gradient = gradient.sum(dim=0)
        self.total = self.total.to(gradient.device) + gradient
        for name, term in terms.items():
            self.losses[name] = self.losses.get(name, 0) + share * term.value.detach()
            self.weights[name] = term.weight
        for name, piece in pieces.items():
            self._terms[name] = self._terms.get(name, 0) + piece.sum(dim=0)
        if model is not None:
            self._models[model] = terms[TASK].value.detach(), gradient

    def diagnosis(
        self, mask: Tensor, processes: Processes
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Norms of the terms' canvas gradients, and cosines between them on the prompt's pixels."""
        if not self.apart:
            return {}, {}
        summed = {name: processes.sum(g) for name, g in self._terms.items()}
        flat = {name: (g * mask).flatten() for name, g in summed.items()}
        names = list(summed)
        cosines = {
            f"{a}~{b}": float(torch.nn.functional.cosine_similarity(flat[a], flat[b], dim=0))
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        }
        return {name: float(g.norm()) for name, g in summed.items()}, cosines

    def per_model(self, processes: Processes) -> dict[str, dict[str, float]]:
        """Each source model's task loss and the norm of its (already shared) gradient."""
        return {
            name: {
                TASK: float(processes.sum(loss)),
                "gradient_norm": float(processes.sum(gradient).norm()),
            }
            for name, (loss, gradient) in self._models.items()
        }
