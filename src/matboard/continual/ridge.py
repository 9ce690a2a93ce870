"""Ridge regression onto one-hot labels from running sums, which forgets nothing: a control, and a
head for prompted learners.

With a random projection it is RanPAC (arXiv 2307.02251) without its adapter:

| theirs | ours |
|---|---|
| h, features; M, projected width | what the head reads; ``projection`` |
| φ(hW), W drawn once | ReLU(unit query · ``projection``) |
| G = Σ h h', C = Σ h y' (Eq. 4, 5) | ``gram``, ``cross`` |
| (G + λI)⁻¹ C (Eq. 6) | ``weight`` |
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Learner, LearnStep, Scores, rng
from matboard.continual.training import Place, Seed
from matboard.tasks.stream import StreamTask

PENALTIES = tuple(10.0**k for k in range(-7, 2))
"""Penalties tried, times the mean of the gram's diagonal (RanPAC tries 10⁻⁸ to 10⁹, unscaled)."""


class RidgeHead:
    """Ridge regression from running sums; exact whatever the order of the tasks.

    The penalty is picked anew with each task: on a fifth of its samples, held out, by squared
    error. A constant feature stands for the bias.
    """

    def __init__(self, classes: int, dim: int) -> None:
        width = dim + 1
        self.gram = torch.zeros(width, width, dtype=torch.float64)
        self.cross = torch.zeros(width, classes, dtype=torch.float64)
        self.weight = torch.zeros(width, classes)

    def add(
        self,
        features: Float[Tensor, "n dim"],
        labels: Int[Tensor, " n"],
        generator: torch.Generator,
    ) -> None:
        """Take in a task's features and solve again."""
        order = torch.randperm(len(labels), generator=generator)
        fifth = len(order) // 5
        held = order[:fifth]
        kept = order[fifth:]
        classes = self.cross.shape[1]
        data = _with_one(features).double()
        targets = F.one_hot(labels, classes).double()
        self._take(data[kept], targets[kept])
        penalty = self._best_penalty(data[held], targets[held])
        self._take(data[held], targets[held])
        self.weight.copy_(self._solve(penalty))

    def scores(self, features: Float[Tensor, "batch dim"]) -> Scores:
        """Regressed one-hot labels."""
        return _with_one(features.float()) @ self.weight

    def tensors(self) -> dict[str, Tensor]:
        """What is kept."""
        return {
            "ridge.gram": self.gram,
            "ridge.cross": self.cross,
            "ridge.weight": self.weight,
        }

    def _best_penalty(self, data: Tensor, targets: Tensor) -> float:
        """Of the sums so far, judged by samples that are not among them; the least of equals."""
        scale = float(self.gram.diagonal().mean())
        penalties = [penalty * scale for penalty in PENALTIES]
        if not len(data):
            return penalties[0]
        errors = []
        for penalty in penalties:
            misses = data @ self._solve(penalty) - targets
            errors.append(float(misses.square().mean()))
        return penalties[errors.index(min(errors))]

    def _take(self, features: Tensor, targets: Tensor) -> None:
        self.gram += features.T @ features
        self.cross += features.T @ targets

    def _solve(self, penalty: float) -> Tensor:
        identity = torch.eye(len(self.gram), dtype=torch.float64)
        factor = torch.linalg.cholesky(self.gram + penalty * identity)
        return torch.cholesky_solve(self.cross, factor)


def _with_one(features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim_and_one"]:
    one = torch.ones_like(features[:, :1])
    return torch.cat([features, one], dim=1)


class Ridge(Learner):
    """Ridge regression on queries, or on a random projection of them.

    Args:
        projection: width of the projection; 0 for none.
    """

    def __init__(
        self, eye: FrozenEye, classes: int, *, projection: Place = 0, seed: Seed = 0
    ) -> None:
        self.eye = eye
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.seed = seed
        self.projection: Tensor | None = None
        dim = eye.backbone.dim
        if projection:
            self.projection = torch.randn(dim, projection, generator=rng(seed, 7))
        self.head = RidgeHead(classes, projection or dim)

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        labels = self.teach(task)
        features = self._features(self.eye.inputs(task.train))
        self.head.add(features, labels, rng(self.seed, task.index))
        yield LearnStep(1, 1)

    def scores(self, inputs: Inputs) -> Scores:
        """See `Learner.scores`."""
        return self.head.scores(self._features(inputs))

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`; the projection is a function of the seed."""
        return self.head.tensors()

    def _features(self, inputs: Inputs) -> Float[Tensor, "batch feature"]:
        unit = F.normalize(inputs.query.cpu(), dim=-1)
        return unit if self.projection is None else (unit @ self.projection).relu()
