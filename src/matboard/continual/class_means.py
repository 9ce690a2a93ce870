"""Nearest class mean (SimpleCIL, arXiv 2303.07338), a control: cosines to classes' mean queries."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Learner, LearnStep, Scores
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
        queries = self.eye.inputs(task.train).query.cpu()
        self.sums.index_add_(0, labels, queries)
        self.counts.index_add_(0, labels, torch.ones(len(labels)))
        yield LearnStep(1, 1)

    def scores(self, inputs: Inputs) -> Scores:
        """See `Learner.scores`: cosines."""
        means = self.sums / self.counts.clamp_min(1)[:, None]
        directions = F.normalize(means, dim=-1)
        return F.normalize(inputs.query.cpu(), dim=-1) @ directions.T

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"sums": self.sums, "counts": self.counts}
