"""A batch, part by part, through every model and the guide, back to the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from matboard.models.capabilities import Guide, Images, Learnable
from matboard.prompts.pixel import PixelPrompt
from matboard.transfer.batches import Batch, Batches
from matboard.transfer.gradients import Gradients, PartGradients, Summand, summed
from matboard.transfer.objective import Objective
from matboard.transfer.passes import CleanFeatures, GuidePass, ModelPass, TextFeatures
from matboard.transfer.pictures import PictureRule
from matboard.transfer.processes import Processes
from matboard.transfer.terms.term import ModelTerm, Term

Divisors: TypeAlias = dict[tuple[str, str], Tensor]
"""(model, term) → what the term's sum over the whole batch is divided by."""


@dataclass(frozen=True)
class Part:
    """A part of a batch that goes through the models at once: its samples, and their pictures with
    the prompt.
    """

    batch: Batch
    canvases: Images


class Backward:
    """Backpropagates an objective. Which terms it has, is theirs to say: they are asked by kind.

    Args:
        guide: given where some term needs one.
        batches: where the parts come from.
        rule: what becomes of each picture's gradient.
    """

    def __init__(
        self,
        objective: Objective,
        models: Sequence[Learnable],
        guide: Guide | None,
        batches: Batches,
        processes: Processes,
        rule: PictureRule,
    ) -> None:
        self._objective = objective
        self._models = models
        self._guide = guide
        self._batches = batches
        self._size = batches.size
        self._processes = processes
        self._rule = rule
        self._clean = CleanFeatures(batches)
        self._texts = TextFeatures()

    def at(self, step: int, prompt: PixelPrompt, count: int, apart: bool) -> Gradients:
        """Of every term at the canvas, over the whole batch of a step.

        Args:
            step: counted from 0.
            count: how many parts the batch is cut into; ours are done here.
            apart: also keep each term's own.
        """
        parts = []
        for index in self._processes.parts(count):
            batch = self._batches.at(step, index, count)
            with torch.no_grad():
                canvases = prompt(batch.images.to(prompt.delta.device))
            parts.append(Part(batch, canvases))
        return self._gradients(parts, apart)

    def _gradients(self, parts: Sequence[Part], apart: bool) -> Gradients:
        divisors = self._divisors(parts) if len(parts) > 1 else {}
        found = [self._of_part(part, divisors, apart) for part in parts]
        norms = self._processes.in_order(
            [self._rule.norms(own.pictures) for own in found]
        )
        weights = self._rule.weights(norms)
        ours = self._processes.parts(len(norms))
        added = []
        for place, own in zip(ours, found, strict=True):
            added.append(own.over_batch(None if weights is None else weights[place]))
        return summed(added, norms, self._processes)

    def _of_part(self, part: Part, divisors: Divisors, apart: bool) -> PartGradients:
        """Model by model, so that one graph is alive at a time."""
        out = PartGradients(apart)
        if self._objective.of_models:
            share = 1 / len(self._models)
            for model in self._models:
                leaf = _leaf(part)
                out.add(
                    leaf, self._of_model(model, part, leaf, divisors), share, model.name
                )
        if self._guide is not None:
            leaf = _leaf(part)
            out.add(leaf, self._of_guide(self._guide, part, leaf))
        if self._objective.of_canvas:
            leaf = _leaf(part)
            out.add(leaf, self._of_canvas(leaf))
        return out

    def _of_model(
        self, model: Learnable, part: Part, leaf: Tensor, divisors: Divisors
    ) -> list[Summand]:
        seen = self._pass(model, part, leaf)
        summands = []
        for term in self._objective.of_models:
            value = term.value(seen)
            divisor: Tensor | int = self._size
            if term.needs.counts:
                key = (model.name, term.name)
                divisor = (
                    divisors[key] if key in divisors else self._counted(term, [seen])
                )
            summands.append(_summand(term, value / divisor))
        return summands

    def _of_guide(self, guide: Guide, part: Part, leaf: Tensor) -> list[Summand]:
        seen = GuidePass(guide, part.batch, leaf, self._texts)
        summands = []
        for term in self._objective.of_guide:
            value = term.value(seen)
            summands.append(_summand(term, value / self._size))
        return summands

    def _of_canvas(self, leaf: Tensor) -> list[Summand]:
        summands = []
        for term in self._objective.of_canvas:
            value = term.value(leaf)
            summands.append(_summand(term, value / self._size))
        return summands

    @torch.no_grad()
    def _divisors(self, parts: Sequence[Part]) -> Divisors:
        """For terms that are divided by what is counted: the first of several parts cannot be
        backpropagated before it is counted in the last, so all are run forward once more.
        """
        counting = [term for term in self._objective.of_models if term.needs.counts]
        divisors = {}
        for model in self._models if counting else ():
            passes = [self._pass(model, part, part.canvases) for part in parts]
            for term in counting:
                divisors[model.name, term.name] = self._counted(term, passes)
        return divisors

    def _counted(self, term: ModelTerm, passes: Sequence[ModelPass]) -> Tensor:
        """Over all parts of all processes."""
        device = passes[0].canvases.device
        counts = [torch.tensor(term.units(seen), device=device) for seen in passes]
        return self._processes.sum(counts)

    def _pass(self, model: Learnable, part: Part, canvases: Tensor) -> ModelPass:
        return ModelPass(
            model, part.batch, canvases, self._objective.needs, self._clean
        )


def _leaf(part: Part) -> Tensor:
    """Its canvases, as what gradients are taken for."""
    return part.canvases.detach().requires_grad_()


def _summand(term: Term, mean: Tensor) -> Summand:
    return Summand(term.name, mean, term.sign * term.weight)
