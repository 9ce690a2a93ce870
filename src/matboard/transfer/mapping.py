"""Which of a classifier's classes stand for a task's answers, where, and on what they are counted.

A mapping belongs to a model and a task; only training pictures make it, and the same rule makes it
for sources, for targets and for baselines:

=============  ===========================================  =======================================
rule           while a prompt is learned                    when a model is judged
=============  ===========================================  =======================================
``random``     drawn once, from a fixed seed                the same
``frequency``  counted once, on untouched pictures          the same, whatever is shown
``iterative``  counted as every epoch begins, on pictures   counted on training pictures shown as
               with the prompt as it then is (ILM-VP,       the test pictures are: with the prompt,
               arXiv 2211.11635, Alg. 1)                    shrunk, or untouched
=============  ===========================================  =======================================

So a target gets its own mapping under the prompt with ``iterative``, and without it with
``frequency``; and a baseline is never judged by a mapping that was made for a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from matboard.errors import ModelError, TaskError
from matboard.models.capabilities import FrozenModel
from matboard.models.classifier import Classifier
from matboard.models.label_mapping import (
    LabelMapping,
    counted,
    frequency_mapping,
    random_mapping,
)
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Sample
from matboard.transfer.batches import Batches
from matboard.transfer.steps import MAPPING

AnyModel = TypeVar("AnyModel", bound=FrozenModel)


class FitMappings:
    """The label mappings of the classifiers that a prompt is learned on.

    Args:
        models: all source models; classifiers are copied, since the copy's mapping changes.

    Raises:
        TaskError, ModelError: the task's answers cannot be mapped.
    """

    def __init__(self, models: Sequence[FrozenModel], batches: Batches) -> None:
        self.models = [unmapped(model) for model in models]
        self._mapped = {
            MAPPING + model.name: model
            for model in self.models
            if isinstance(model, Classifier)
        }
        self._batches = batches
        self._answers: tuple[str, ...] = ()
        if self._mapped:
            self._answers = answers_of(batches.samples)
        for model in self._mapped.values():
            check_classes(model, self._answers)

    def start(self) -> dict[str, Tensor]:
        """The tensors before the first step, which sets them."""
        unset = torch.full((len(self._answers),), -1)
        return {key: unset.clone() for key in self._mapped}

    def due(self, step: int, prompt: PixelPrompt) -> dict[str, Tensor]:
        """The mappings that the step (counted from 0) begins with; those that it leaves alone are
        not among them.
        """
        found = {}
        for key, model in self._mapped.items():
            again = model.rule == "iterative" and self._starts_epoch(step)
            if step == 0 or again:
                shown = prompt.to_artifact() if model.rule == "iterative" else None
                found[key] = torch.tensor(self._made(model, shown).classes)
        return found

    def settle(self, tensors: Mapping[str, Tensor]) -> None:
        """Give every classifier its mapping among a fit's tensors."""
        for key, model in self._mapped.items():
            classes = tuple(tensors[key].tolist())
            model.mapping = LabelMapping(self._answers, classes)

    def judged(self, model: FrozenModel, prompt: VisualPrompt | None) -> FrozenModel:
        """A source model as it is judged with a prompt, None: on untouched pictures. An iterative
        mapping is made for what is shown, on what is learned from; the others stay.
        """
        if not isinstance(model, Classifier) or model.rule != "iterative":
            return model
        return model.mapped(self._made(model, prompt))

    def _starts_epoch(self, step: int) -> bool:
        size = self._batches.size
        samples = len(self._batches.samples)
        return step * size // samples > (step - 1) * size // samples

    def _made(self, model: Classifier, prompt: VisualPrompt | None) -> LabelMapping:
        samples = self._batches.samples
        pictures = (self._batches.picture(place) for place in range(len(samples)))
        return mapping_of(model, samples, partial(taken_for, model, pictures, prompt))


def unmapped(model: AnyModel) -> AnyModel:
    """A classifier's copy without a mapping; any other model as it is."""
    if not isinstance(model, Classifier):
        return model
    return model.mapped(None)  # type: ignore[return-value]


def mapping_of(
    model: Classifier,
    samples: Sequence[Sample],
    taken: Callable[[], NDArray[np.int64]],
) -> LabelMapping:
    """A classifier's mapping by its own rule.

    Args:
        samples: training samples.
        taken: gives the likeliest class of each one's picture; asked where something is counted.

    Raises:
        TaskError, ModelError: the samples' answers cannot be mapped.
    """
    answers = answers_of(samples)
    check_classes(model, answers)
    if model.rule == "random":
        chosen = random_mapping(len(answers), model.classes)
    else:
        labels = [answers.index(sample.answer) for sample in samples]
        counts = counted(taken(), labels, len(answers), model.classes)
        chosen = frequency_mapping(counts)
    return LabelMapping(answers, tuple(chosen.tolist()))


@torch.no_grad()
def taken_for(
    model: Classifier,
    pictures: Iterable[Image],
    prompt: VisualPrompt | None,
    batch_size: int = 32,
) -> NDArray[np.int64]:
    """The likeliest class of every picture with a prompt; None: of the picture as it is."""
    found: list[int] = []
    waiting: list[Image] = []
    for picture in pictures:
        waiting.append(picture if prompt is None else prompt.apply(picture))
        if len(waiting) == batch_size:
            found += model.class_logits(waiting).argmax(dim=1).tolist()
            waiting = []
    if waiting:
        found += model.class_logits(waiting).argmax(dim=1).tolist()
    return np.array(found, dtype=np.int64)


def answers_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Every candidate of training samples, as they come. Raises TaskError where a sample has
    none.
    """
    names: dict[str, None] = {}
    for sample in samples:
        if not sample.candidates:
            raise TaskError(
                f"Sample {sample.id!r} has no candidates, so no class of a classifier can stand for"
                " them; give it the answers to choose from."
            )
        names.update(dict.fromkeys(sample.candidates))
    return tuple(names)


def check_classes(model: Classifier, answers: Sequence[str]) -> None:
    """Raises ModelError where a classifier has fewer classes than there are answers."""
    if len(answers) > model.classes:
        raise ModelError(
            f"{model.name} knows {model.classes} classes, but the task has {len(answers)} answers:"
            " one class cannot stand for several. Use a classifier of more classes."
        )


def kept_mappings(
    models: Sequence[FrozenModel], samples: Sequence[Sample], prompt: VisualPrompt
) -> dict[str, dict[str, Any]]:
    """For a prompt's record: classifier → its rule, and answer → the class that stands for it on
    training pictures with the finished prompt, by which it is judged.
    """
    found = {}
    for model in models:
        if not isinstance(model, Classifier):
            continue
        shown = prompt if model.rule == "iterative" else None
        pictures = (sample.load() for sample in samples)
        taken = partial(taken_for, model, pictures, shown)
        mapping = mapping_of(model, samples, taken)
        names = model.class_names(mapping.classes)
        each = zip(mapping.answers, mapping.classes, names, strict=True)
        classes = {answer: {"class": own, "name": name} for answer, own, name in each}
        found[model.name] = {"rule": model.rule, "answers": classes}
    return found
