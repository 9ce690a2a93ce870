"""What frozen models make of one batch. Whatever several terms of an objective ask for is computed
once a step; what does not depend on the prompt, once a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from matboard.images import to_array
from matboard.models.capabilities import (
    Answers,
    Guide,
    HasFeatures,
    HasLikelihoods,
    Images,
    Learnable,
    Ranks,
    require,
)
from matboard.tasks.task import Sample
from matboard.transfer.batches import Batch, Batches, View

GROUP = 16
"""Clean pictures that go through a model at once (guess)."""
Reference = Literal["full", "shrunk"]
"""Which unprompted picture "clean" means: as it is, or shrunk behind a black border."""


@dataclass(frozen=True)
class Needs:
    """What terms are computed from. Everything named here is had of a model once a step, however
    many terms ask for it.

    Attributes:
        answers: likelihoods of the samples' answers, with the end-of-sequence token (True), without
            it (False), or both.
        taps: where a model's visual features are read.
        candidates: a model's scores of each sample's candidate answers: of at most so many, drawn
            at random with the right ones among them; 0 of none.
        guide: an image-text model.
        counts: the term is not divided by the number of samples, but by what its `ModelTerm.units`
            counts.
    """

    answers: frozenset[bool] = frozenset()
    taps: frozenset[str] = frozenset()
    candidates: int = 0
    guide: bool = False
    counts: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            answers=self.answers | other.answers,
            taps=self.taps | other.taps,
            candidates=max(self.candidates, other.candidates),
            guide=self.guide or other.guide,
            counts=self.counts or other.counts,
        )


class CleanFeatures:
    """f_θ(X): features of unprompted training pictures, each encoded once and kept.

    Pictures are encoded in groups, neighbours in the training part under one view: which others are
    in a group, and so the last bit of what comes out, does not depend on where a run was
    interrupted. A view that will hardly come again, a crop at random, is encoded alone.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._kept: dict[tuple[str, str, Reference, int, View], Tensor] = {}

    def of(
        self,
        model: HasFeatures,
        tap: str,
        reference: Reference,
        batch: Batch,
        device: torch.device,
    ) -> Float[Tensor, "batch token dim"]:
        """Features of the batch's pictures without the prompt, in the views the batch has of
        them.
        """
        features = []
        for index, view in zip(batch.indices, batch.views, strict=True):
            key = (model.name, tap, reference, index, view)
            if key not in self._kept:
                group = self._group(index, view)
                found = self._encoded(model, tap, reference, group, view, device)
                for place, feature in zip(group, found, strict=True):
                    self._kept[model.name, tap, reference, place, view] = feature
            features.append(self._kept[key])
        return torch.stack(features)

    def _group(self, index: int, view: View) -> range:
        if view.offset != View.offset:
            return range(index, index + 1)
        start = index - index % GROUP
        return range(start, min(start + GROUP, len(self._batches.samples)))

    @torch.no_grad()
    def _encoded(
        self,
        model: HasFeatures,
        tap: str,
        reference: Reference,
        group: Sequence[int],
        view: View,
        device: torch.device,
    ) -> Float[Tensor, "picture token dim"]:
        pictures = [self._picture(index, view, reference) for index in group]
        questions = [self._batches.samples[index].question for index in group]
        images = torch.from_numpy(np.stack(pictures)).to(device)
        return model.visual_features(images, tap, questions)

    def _picture(
        self, index: int, view: View, reference: Reference
    ) -> NDArray[np.float32]:
        canvas = self._batches.canvas
        picture = self._batches.picture(index)
        if reference == "full":
            return to_array(
                canvas.full(picture, offset=view.offset, mirror=view.mirror)
            )
        shrunk = canvas.shrink(picture, offset=view.offset, mirror=view.mirror)
        return to_array(canvas.place(shrunk))


class TextFeatures:
    """A guide's features of captions, each encoded once, alone, and kept."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def of(self, guide: Guide, captions: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Features of captions, in their order."""
        for caption in captions:
            if caption not in self._kept:
                self._kept[caption] = guide.text_features([caption])[0]
        return torch.stack([self._kept[caption] for caption in captions])


class ModelPass:
    """What a source model makes of a batch's prompted canvases.

    Args:
        canvases: what gradients are wanted for.
        needs: what all terms together will ask for, so that one pass gives it.
    """

    def __init__(
        self,
        model: Learnable,
        batch: Batch,
        canvases: Images,
        needs: Needs,
        clean: CleanFeatures,
    ) -> None:
        self._model = model
        self._batch = batch
        self._canvases = canvases
        self._clean = clean
        self._needs = needs
        self._answers: dict[bool, Answers] = {}
        self._features: dict[str, Tensor] = {}

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self._batch.samples

    @property
    def canvases(self) -> Images:
        return self._canvases

    def answers(self, terminator: bool = False) -> Answers:
        """Likelihood of each sample's answer, with gradient.

        Args:
            terminator: whether the end-of-sequence token is scored too.
        """
        if terminator not in self._answers:
            wanted = [
                tap for tap in sorted(self._needs.taps) if tap not in self._features
            ]
            listed = None
            if self._needs.candidates and terminator == min(self._needs.answers):
                listed = self._padded_candidates
            model = require(self._model, HasLikelihoods, doing="the task loss")
            answers = model.answer(
                self._canvases,
                self._batch.questions,
                self._batch.answers,
                taps=wanted,
                terminator=terminator,
                candidates=listed,
            )
            self._features.update(answers.features)
            self._answers[terminator] = answers
        return self._answers[terminator]

    def features(self, tap: str) -> Float[Tensor, "batch token dim"]:
        """Visual features of the prompted canvases, with gradient."""
        if self._needs.answers:
            self.answers(min(self._needs.answers))
        if tap not in self._features:
            model = self._featured()
            self._features[tap] = model.visual_features(
                self._canvases, tap, self._batch.questions
            )
        return self._features[tap]

    def clean_features(
        self, tap: str, reference: Reference = "full"
    ) -> Float[Tensor, "batch token dim"]:
        """Visual features of the same pictures without the prompt, without gradient."""
        return self._clean.of(
            self._featured(), tap, reference, self._batch, self._canvases.device
        )

    @cached_property
    def candidates(self) -> list[tuple[str, ...]]:
        """The candidate answers that each sample is compared by, in its own order."""
        return drawn_candidates(self._batch, self._needs.candidates)

    @cached_property
    def candidate_scores(self) -> Float[Tensor, "batch candidate"]:
        """Log-likelihoods of `candidates`, meaned over their tokens, with gradient; −∞ in the
        columns that a sample does not fill.
        """
        if self._needs.answers:
            compared = self.answers(min(self._needs.answers)).compared
            assert compared is not None
            scores = compared.scores
        else:
            model = require(self._model, Ranks, doing="a term that compares candidates")
            scores = model.candidate_log_likelihoods(
                self._canvases, self._batch.questions, self._padded_candidates
            )
        return of_candidates(scores, self.candidates)

    @property
    def _padded_candidates(self) -> list[tuple[str, ...]]:
        return padded(self.candidates)

    def _featured(self) -> HasFeatures:
        return require(self._model, HasFeatures, doing="a term that reads features")


def drawn_candidates(batch: Batch, most: int) -> list[tuple[str, ...]]:
    """The candidates that each sample of a batch is compared by, at most so many."""
    each = zip(batch.samples, batch.draws, strict=True)
    return [_drawn(sample, most, draw) for sample, draw in each]


def padded(candidates: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """As many for every sample; the first stands for what is missing."""
    most = max(map(len, candidates))
    return [own + own[:1] * (most - len(own)) for own in candidates]


def of_candidates(
    scores: Float[Tensor, "batch candidate"], candidates: Sequence[tuple[str, ...]]
) -> Float[Tensor, "batch candidate"]:
    """Scores of padded candidates, −∞ in the columns that a sample does not fill."""
    counts = [len(own) for own in candidates]
    filled = torch.tensor(counts, device=scores.device)[:, None]
    columns = torch.arange(scores.shape[1], device=scores.device)
    return scores.masked_fill(columns >= filled, -torch.inf)


def _drawn(sample: Sample, most: int, draw: float) -> tuple[str, ...]:
    """At most so many candidates of a sample: the right ones, and others drawn evenly."""
    listed = sample.candidates
    if len(listed) <= most:
        return listed
    right = [name for name in listed if name in sample.right]
    wrong = [name for name in listed if name not in sample.right]
    generator = np.random.default_rng(int(draw * 2**53))
    count = max(1, most - len(right))
    picked = generator.choice(len(wrong), size=count, replace=False)
    return (*right, *(wrong[place] for place in sorted(picked)))


class GuidePass:
    """What the guide makes of a batch's prompted canvases."""

    def __init__(
        self, guide: Guide, batch: Batch, canvases: Images, texts: TextFeatures
    ) -> None:
        self._guide = guide
        self._batch = batch
        self._canvases = canvases
        self._texts = texts

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self._batch.samples

    @property
    def logit_scale(self) -> float:
        return self._guide.logit_scale

    @cached_property
    def image_features(self) -> Float[Tensor, "batch dim"]:
        """Of the prompted canvases, L2-normalised, with gradient."""
        return self._guide.image_features(self._canvases)

    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """L2-normalised, without gradient."""
        return self._texts.of(self._guide, captions).to(self._canvases.device)
