"""A linear head trained on one task after the other, with nothing against forgetting: how bad it
can get.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Learner, LearnStep, Scores, rng
from matboard.continual.training import Count, Positive, Seed
from matboard.tasks.stream import StreamTask


class FineTunedHead(Learner):
    """A linear head on queries, trained with cross-entropy over all classes taught so far."""

    def __init__(
        self,
        eye: FrozenEye,
        classes: int,
        *,
        epochs: Count = 5,
        lr: Positive = 0.01,
        batch_size: Count = 16,
        seed: Seed = 0,
    ) -> None:
        self.eye = eye
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.seed = seed
        self.head = torch.nn.Linear(eye.backbone.dim, classes)
        for value in self.head.parameters():
            torch.nn.init.zeros_(value)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        queries = self.eye.inputs(task.train).query.cpu()
        optimiser = torch.optim.Adam(self.head.parameters(), lr=self.lr)
        total = self.epochs * math.ceil(len(labels) / self.batch_size)
        index = 0
        for epoch in range(self.epochs):
            generator = rng(self.seed, task.index, epoch)
            order = torch.randperm(len(labels), generator=generator)
            for part in order.split(self.batch_size):
                logits = self.head(queries[part])
                masked = logits.masked_fill(~self.seen, -torch.inf)
                loss = F.cross_entropy(masked, labels[part])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                index += 1
                value = float(loss.detach())
                yield LearnStep(index, total, value, {"task_loss": value})

    @torch.no_grad()
    def scores(self, inputs: Inputs) -> Scores:
        """See `Learner.scores`."""
        scores: Tensor = self.head(inputs.query.cpu())
        return scores

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"head.weight": self.head.weight, "head.bias": self.head.bias}

    @property
    def trainable(self) -> int:
        """See `Learner.trainable`."""
        return sum(p.numel() for p in self.head.parameters())
