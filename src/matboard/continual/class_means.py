"""Nearest class mean (SimpleCIL, arXiv 2303.07338), a control: cosine to each class's mean query."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Learner, LearnStep
from matboard.continual.training import Seed
from matboard.tasks.stream import StreamTask


class ClassMeans(Learner):
    """Nearest class mean by cosine."""

    def __init__(self, eye: FrozenEye, classes: int, *, seed: Seed = 0) -> None:
        self.eye = eye
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.sums = torch.zeros(classes, eye.backbone.dim)
        self.counts = torch.zeros(classes)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        self.sums.index_add_(0, labels, self.eye.inputs(task.train).query.cpu())
        self.counts.index_add_(0, labels, torch.ones(len(labels)))
        yield LearnStep(1, 1)

    def scores(self, inputs: Inputs) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`: cosines."""
        means = self.sums / self.counts.clamp_min(1)[:, None]
        return F.normalize(inputs.query.cpu(), dim=-1) @ F.normalize(means, dim=-1).T

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"sums": self.sums, "counts": self.counts}
