"""A learner for task streams: nearest class mean, each drawn towards the mean of all classes
(nearest shrunken centroids, Tibshirani et al. 2002, without their thresholds).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Learner, LearnStep
from matboard.tasks.stream import StreamTask

Share = Annotated[float, Field(ge=0, lt=1)]


class ShrunkenMeans(Learner):
    """Class means, drawn towards their own mean by ``shrink``; 0 leaves them where they are."""

    def __init__(
        self, eye: FrozenEye, classes: int, *, seed: int = 0, shrink: Share = 0.1
    ) -> None:
        del seed  # nothing is drawn by lot
        self.eye = eye
        self.shrink = shrink
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.sums = torch.zeros(classes, eye.backbone.dim)
        self.counts = torch.zeros(classes)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        queries = self.eye.inputs(task.train).query.cpu()
        self.sums.index_add_(0, labels, queries)
        self.counts.index_add_(0, labels, torch.ones(len(labels)))
        yield LearnStep(1, 1)

    def scores(self, inputs: Inputs) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`: negative squared distances."""
        means = self.sums / self.counts.clamp_min(1)[:, None]
        middle = means[self.seen].mean(dim=0)
        drawn = means + self.shrink * (middle - means)
        return -torch.cdist(inputs.query.cpu(), drawn).square()

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"sums": self.sums, "counts": self.counts}
