"""What source models make of prompts that are tried on a batch.

Where all of them rank candidates, the loss is that of the term ``candidate_contrast``, which
white-box methods learn by too; where one does not, or the task has no candidates, it is the share
of pictures that are answered wrongly in the model's own words. Pictures are shown as they would be
deployed: 8 bits, through each model's official image processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from matboard.errors import ModelError
from matboard.images import to_picture
from matboard.models.capabilities import FrozenModel, Generates, Ranks, require
from matboard.models.classifier import Classifier
from matboard.prompts.artifact import VisualPrompt
from matboard.tasks.task import Sample, Task
from matboard.transfer.batches import Batch
from matboard.transfer.checks import check_names
from matboard.transfer.evaluate import as_far_as_answered, verdict
from matboard.transfer.passes import drawn_candidates, of_candidates, padded
from matboard.transfer.table import VERDICTS, metric_of
from matboard.transfer.terms.candidate_contrast import CandidateContrast

Kind: TypeAlias = Literal["candidate_contrast", "answered_wrongly"]
CONTRAST: Kind = "candidate_contrast"
WRONG: Kind = "answered_wrongly"
FLOOR = -20.0
"""Nats at most that stand for a candidate that a model calls impossible (guess)."""
RIGHT = VERDICTS.index("right")


def loss_of(models: Sequence[FrozenModel], task: Task) -> Kind:
    """By which loss a prompt is learned on these models without gradients.

    Raises:
        ConfigError: no model, or two of the same name.
        ModelError: a model neither ranks what is to be ranked nor writes; or it is a classifier
            whose label mapping would be counted on more pictures than are asked for.
    """
    check_names(models)
    for model in models:
        if isinstance(model, Classifier) and model.rule != "random":
            raise ModelError(
                f"{model.name} is an image classifier, whose label mapping is counted on training"
                " pictures again and again, more than any number of queries says. Learn on it by"
                " gradients (vp, evp, matboard), or give it 'mapping: random'."
            )
    choosing = all(sample.candidates for sample in task.train)
    if choosing and all(isinstance(model, Ranks) for model in models):
        return CONTRAST
    for model in models:
        require(model, Generates, doing="learning from what is answered wrongly")
    return WRONG


class Losses:
    """Losses of prompts, picture by picture, the mean over source models.

    Args:
        kind: see `loss_of`.
        contrast: which candidates are compared, where they are.
        at_once: pictures that a model gets at once.
    """

    def __init__(
        self,
        models: Sequence[FrozenModel],
        task: Task,
        kind: Kind,
        contrast: CandidateContrast,
        at_once: int,
    ) -> None:
        self.kind = kind
        self._models = models
        self._contrast = contrast
        self._at_once = at_once
        self._graded = metric_of(task, "generation") == "vqa"

    @torch.no_grad()
    def of(
        self, prompts: Sequence[VisualPrompt], batch: Batch
    ) -> Float[Tensor, "prompt picture"]:
        """In float64; NaN where a model did not answer."""
        shrunk = [to_picture(one.numpy()) for one in batch.images]
        rows = []
        for prompt in prompts:
            pictures = [prompt.apply(picture) for picture in shrunk]
            each = [self._of_model(model, pictures, batch) for model in self._models]
            rows.append(torch.stack(each).mean(dim=0))
        return torch.stack(rows)

    def _of_model(
        self, model: FrozenModel, pictures: Sequence[Image], batch: Batch
    ) -> Float[Tensor, " picture"]:
        candidates: list[tuple[str, ...]] = [()] * len(pictures)
        if self.kind == CONTRAST:
            candidates = drawn_candidates(batch, self._contrast.most)
        parts = []
        for start in range(0, len(pictures), self._at_once):
            part = slice(start, start + self._at_once)
            asked = pictures[part], batch.samples[part]
            if self.kind == CONTRAST:
                parts.append(self._contrasts(model, *asked, candidates[part]))
            else:
                parts.append(self._wrongs(model, *asked))
        return torch.cat(parts)

    def _contrasts(
        self,
        model: FrozenModel,
        pictures: Sequence[Image],
        samples: Sequence[Sample],
        candidates: Sequence[tuple[str, ...]],
    ) -> Float[Tensor, " picture"]:
        ranking = require(model, Ranks, doing="comparing candidates")
        questions = [sample.question for sample in samples]
        scores, silent = as_far_as_answered(
            lambda: ranking.candidate_log_likelihoods(
                pictures, questions, padded(candidates)
            )
        )
        known = of_candidates(possible(scores.cpu()), candidates)
        losses = self._contrast.each(samples, candidates, known).double()
        losses[list(silent)] = torch.nan
        return losses

    def _wrongs(
        self, model: FrozenModel, pictures: Sequence[Image], samples: Sequence[Sample]
    ) -> Float[Tensor, " picture"]:
        writing = require(model, Generates, doing="learning from what is written")
        questions = [sample.question for sample in samples]
        texts, silent = as_far_as_answered(
            lambda: writing.generate(pictures, questions)
        )
        wrong = []
        for text, sample in zip(texts, samples, strict=True):
            wrong.append(1 - verdict(text, sample, graded=self._graded)[RIGHT])
        losses = torch.tensor(wrong, dtype=torch.float64)
        losses[list(silent)] = torch.nan
        return losses


def possible(
    scores: Float[Tensor, "batch candidate"],
) -> Float[Tensor, "batch candidate"]:
    """Scores in which nothing is impossible (−∞): what was counts as the least likely candidate of
    its row does, `FLOOR` at most, so that a loss stays finite.
    """
    impossible = scores.isneginf()
    least = scores.masked_fill(impossible, 0).amin(dim=1, keepdim=True)
    return torch.where(impossible, least.clamp(max=FLOOR), scores)
