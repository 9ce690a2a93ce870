"""What any prompt must beat: heads on the frozen backbone's queries, none of which trains a prompt.

| control | what it is |
|---|---|
| `ClassMeans` | cosine to each class's mean query (nearest class mean; SimpleCIL, arXiv 2303.07338) |
| `Ridge` | ridge regression onto one-hot labels from running sums, so it forgets nothing |
| `Ridge` with a projection | the same on ReLU(random projection): RanPAC without its adapter (arXiv 2307.02251, Eq. 4–6) |
| `FineTunedHead` | a linear head trained on one task after the other with nothing against forgetting: how bad it can get |
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from matboard.continual.eye import Batch, FrozenEye
from matboard.continual.learner import Learner, LearnStep, rng
from matboard.tasks.stream import StreamTask

PENALTIES = tuple(10.0**k for k in range(-7, 2))
"""Ridge penalties tried, times the mean of H'H's diagonal (RanPAC tries 10⁻⁸ to 10⁹, unscaled)."""


class ClassMeans(Learner):
    """Nearest class mean by cosine."""

    def __init__(self, eye: FrozenEye, classes: int, *, seed: int = 0) -> None:
        self.eye, self.seen = eye, torch.zeros(classes, dtype=torch.bool)
        self.sums, self.counts = torch.zeros(classes, eye.backbone.dim), torch.zeros(classes)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        self.sums.index_add_(0, labels, self.eye.batch(task.train).query.cpu())
        self.counts.index_add_(0, labels, torch.ones(len(labels)))
        yield LearnStep(1, 1)

    def scores(self, batch: Batch) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`: cosines."""
        means = self.sums / self.counts.clamp_min(1)[:, None]
        return F.normalize(batch.query.cpu(), dim=-1) @ F.normalize(means, dim=-1).T

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"sums": self.sums, "counts": self.counts}


class RidgeHead:
    """Ridge regression onto one-hot labels from running sums H'H and H'Y (RanPAC Eq. 4–6); exact
    whatever the order of the tasks.

    The penalty is picked anew with each task: on a fifth of its samples, held out, by squared
    error. A constant feature stands for the bias.
    """

    def __init__(self, classes: int, dim: int) -> None:
        dim += 1
        self.gram = torch.zeros(dim, dim, dtype=torch.float64)
        self.cross = torch.zeros(dim, classes, dtype=torch.float64)
        self.weight = torch.zeros(dim, classes)

    def add(
        self,
        features: Float[Tensor, "n dim"],
        labels: Int[Tensor, " n"],
        generator: torch.Generator,
    ) -> None:
        """Take in a task's features and solve again."""
        order = torch.randperm(len(labels), generator=generator)
        held, kept = order[: len(order) // 5], order[len(order) // 5 :]
        features, targets = (
            _with_one(features).double(),
            F.one_hot(labels, self.cross.shape[1]).double(),
        )
        self._take(features[kept], targets[kept])
        penalties = [p * float(self.gram.diagonal().mean()) for p in PENALTIES]
        errors = (
            [
                float((features[held] @ self._solve(p) - targets[held]).square().mean())
                for p in penalties
            ]
            if len(held)
            else [0.0]
        )
        self._take(features[held], targets[held])
        self.weight.copy_(self._solve(penalties[min(range(len(errors)), key=errors.__getitem__)]))

    def scores(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch class"]:
        """Regressed one-hot labels."""
        return _with_one(features.float()) @ self.weight

    def tensors(self) -> dict[str, Tensor]:
        """What is kept."""
        return {"ridge.gram": self.gram, "ridge.cross": self.cross, "ridge.weight": self.weight}

    def _take(self, features: Tensor, targets: Tensor) -> None:
        self.gram += features.T @ features
        self.cross += features.T @ targets

    def _solve(self, penalty: float) -> Tensor:
        ridge = self.gram + penalty * torch.eye(len(self.gram), dtype=torch.float64)
        return torch.cholesky_solve(self.cross, torch.linalg.cholesky(ridge))


def _with_one(features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim_and_one"]:
    return torch.cat([features, torch.ones_like(features[:, :1])], dim=1)


class Ridge(Learner):
    """Ridge regression on queries, or on a random projection of them.

    Args:
        projection: width of the projection; 0 for none.
    """

    def __init__(self, eye: FrozenEye, classes: int, *, projection: int = 0, seed: int = 0) -> None:
        self.eye, self.seen, self.seed = eye, torch.zeros(classes, dtype=torch.bool), seed
        dim = eye.backbone.dim
        self.projection = (
            torch.randn(dim, projection, generator=rng(seed, 7)) if projection else None
        )
        self.head = RidgeHead(classes, projection or dim)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        self.head.add(
            self._features(self.eye.batch(task.train)), labels, rng(self.seed, task.index)
        )
        yield LearnStep(1, 1)

    def scores(self, batch: Batch) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`."""
        return self.head.scores(self._features(batch))

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`; the projection is a function of the seed."""
        return self.head.tensors()

    def _features(self, batch: Batch) -> Float[Tensor, "batch feature"]:
        unit = F.normalize(batch.query.cpu(), dim=-1)
        return unit if self.projection is None else (unit @ self.projection).relu()


class FineTunedHead(Learner):
    """A linear head on queries, trained on each task with cross-entropy over all classes taught so
    far.
    """

    def __init__(
        self,
        eye: FrozenEye,
        classes: int,
        *,
        epochs: int = 5,
        lr: float = 0.01,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        self.eye, self.seen = eye, torch.zeros(classes, dtype=torch.bool)
        self.epochs, self.lr, self.batch_size, self.seed = epochs, lr, batch_size, seed
        self.head = torch.nn.Linear(eye.backbone.dim, classes)
        for value in self.head.parameters():
            torch.nn.init.zeros_(value)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels, queries = self.teach(task), self.eye.batch(task.train).query.cpu()
        optimiser = torch.optim.Adam(self.head.parameters(), lr=self.lr)
        total, index = self.epochs * -(-len(labels) // self.batch_size), 0
        for epoch in range(self.epochs):
            for part in torch.randperm(
                len(labels), generator=rng(self.seed, task.index, epoch)
            ).split(self.batch_size):
                logits = self.head(queries[part]).masked_fill(~self.seen, -torch.inf)
                loss = F.cross_entropy(logits, labels[part])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                index += 1
                yield LearnStep(
                    index, total, float(loss.detach()), {"task_loss": float(loss.detach())}
                )

    def scores(self, batch: Batch) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`."""
        with torch.no_grad():
            scores: Tensor = self.head(batch.query.cpu())
        return scores

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        return {"head.weight": self.head.weight, "head.bias": self.head.bias}

    @property
    def trainable(self) -> int:
        """See `Learner.trainable`."""
        return sum(p.numel() for p in self.head.parameters())
