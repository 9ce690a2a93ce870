"""One part of a batch, through every model and the guide, back to the canvas."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from matboard.models.capabilities import Guide, Learnable
from matboard.transfer.batches import Batch, Batches
from matboard.transfer.gradients import Gradients, Summand
from matboard.transfer.objective import Objective
from matboard.transfer.passes import CleanFeatures, GuidePass, ModelPass, TextFeatures
from matboard.transfer.processes import Processes
from matboard.transfer.terms.term import ModelTerm, Term


class Backward:
    """Backpropagates an objective. Which terms it has, is theirs to say: they are asked by kind.

    Args:
        guide: given where some term needs one.
        batches: whose parts will come.
    """

    def __init__(
        self,
        objective: Objective,
        models: Sequence[Learnable],
        guide: Guide | None,
        batches: Batches,
        processes: Processes,
    ) -> None:
        self._objective = objective
        self._models = models
        self._guide = guide
        self._batches = batches
        self._processes = processes
        self._clean = CleanFeatures(batches)
        self._texts = TextFeatures()

    def gradients(self, part: Batch, canvases: Tensor, apart: bool) -> Gradients:
        """Of every term at the canvas, model by model, so that one graph is alive at a time.

        Args:
            canvases: the part's pictures with the prompt.
            apart: also keep each term's own.
        """
        out = Gradients(apart)
        if self._objective.of_models:
            share = 1 / len(self._models)
            for model in self._models:
                leaf = _leaf(canvases)
                out.add(leaf, self._of_model(model, part, leaf), share, model.name)
        if self._guide is not None:
            leaf = _leaf(canvases)
            out.add(leaf, self._of_guide(self._guide, part, leaf))
        if self._objective.of_canvas:
            leaf = _leaf(canvases)
            out.add(leaf, self._of_canvas(leaf))
        return out

    def _of_model(self, model: Learnable, part: Batch, leaf: Tensor) -> list[Summand]:
        seen = ModelPass(model, part, leaf, self._objective.needs, self._clean)
        summands = []
        for term in self._objective.of_models:
            value = term.value(seen)
            summands.append(_summand(term, value / self._units(term, seen)))
        return summands

    def _units(self, term: ModelTerm, seen: ModelPass) -> Tensor | int:
        """What the whole batch's sum is divided by."""
        counted = term.units(seen)
        if counted is None:
            return self._batches.size
        return self._processes.sum([torch.tensor(counted, device=seen.canvases.device)])

    def _of_guide(self, guide: Guide, part: Batch, leaf: Tensor) -> list[Summand]:
        seen = GuidePass(guide, part, leaf, self._texts)
        summands = []
        for term in self._objective.of_guide:
            value = term.value(seen)
            summands.append(_summand(term, value / self._batches.size))
        return summands

    def _of_canvas(self, leaf: Tensor) -> list[Summand]:
        summands = []
        for term in self._objective.of_canvas:
            value = term.value(leaf)
            summands.append(_summand(term, value / self._batches.size))
        return summands


def _leaf(canvases: Tensor) -> Tensor:
    """A copy that gradients are taken for, without what led to it."""
    return canvases.detach().requires_grad_()


def _summand(term: Term, mean: Tensor) -> Summand:
    return Summand(term.name, mean, term.sign * term.weight)
