"""What every continual learner offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from matboard.continual.eye import FrozenEye, Inputs
from matboard.tasks.stream import StreamTask

Made = TypeVar("Made")
Scores: TypeAlias = Float[Tensor, "batch class"]


@dataclass(frozen=True)
class LearnStep:
    """One step of learning a task: ``index`` of ``total``, the whole loss, and each term before its
    weight.

    ``skipped`` says that the step changed nothing, because its gradient was not finite.
    """

    index: int
    total: int
    loss: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    skipped: bool = False


@dataclass(frozen=True)
class Choice:
    """Which prompts of its pool a learner chose for a batch, and the similarities before the
    choice.
    """

    chosen: Int[Tensor, "batch top_k"]
    similarity: Float[Tensor, "batch size"]


class Learner(ABC):
    """Learns task after task; afterwards scores pictures without being told which task they come
    from.

    Attributes:
        eye: the frozen backbone.
        layer: the block at which its prompts enter; None where it looks at queries alone.
        seen: which joint labels it has been taught.
        flags: what a reader of its results must know, as sentences.
    """

    eye: FrozenEye
    layer: int | None = None
    seen: Tensor
    flags: tuple[str, ...] = ()

    @abstractmethod
    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """Learn one task from its training samples; ``task.test`` is not looked at."""

    @abstractmethod
    def scores(self, inputs: Inputs) -> Scores:
        """Scores of all classes of the stream, taught or not."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything that must be kept from one task to the next, by name, as live tensors."""

    def logits(self, inputs: Inputs) -> Scores:
        """Scores of every class taught so far, −∞ for the others, in joint labels. A sample's row
        depends on that sample alone.
        """
        return self.scores(inputs).masked_fill(~self.seen, -torch.inf)

    def choice(self, inputs: Inputs) -> Choice | None:
        """What a prompt pool chose, where there is one."""
        return None

    def pictures(self) -> UInt8[Tensor, "count 3 height width"] | None:
        """Its prompts as pictures, where they have that form."""
        return None

    @property
    def trainable(self) -> int:
        """How many numbers gradient descent changes."""
        return 0

    def state(self) -> dict[str, Tensor]:
        """A copy of everything kept."""
        kept = {"seen": self.seen.clone()}
        for name, tensor in self.tensors().items():
            kept[name] = tensor.detach().cpu().clone()
        return kept

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up where `state` was taken."""
        self.seen.copy_(state["seen"])
        for name, tensor in self.tensors().items():
            tensor.data.copy_(state[name])

    def teach(self, task: StreamTask) -> Int[Tensor, " n"]:
        """Note the task's classes as taught; its training labels."""
        self.seen[list(task.classes)] = True
        return torch.tensor([s.label for s in task.train])


def rng(*key: int) -> torch.Generator:
    """A generator that is a function of its key, so that no random state need be kept."""
    value = 0
    for part in key:
        value = (value * 1_000_003 + part + 1) % (2**63)
    return torch.Generator().manual_seed(value)


def seeded(seed: int, make: Callable[[], Made]) -> Made:
    """What ``make`` makes with torch's global random state at ``seed``; afterwards that state is as
    it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
