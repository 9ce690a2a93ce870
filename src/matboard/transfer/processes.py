"""The processes that share each batch, and the parts that a batch is cut into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from matboard.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """Where we stand among the processes that learn one prompt together.

    Attributes:
        index: ours, from 0.
        count: of all.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Processes:
        """As `torchrun` started us, through Accelerate; one process otherwise."""
        from accelerate import PartialState

        # left to itself it joins no processes on CPUs
        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes)

    def count_parts(self, batch_size: int, micro_batch: int | None) -> int:
        """How many parts a batch is cut into. Raises ConfigError where it cannot be."""
        if batch_size < 1 or batch_size % self.count:
            raise ConfigError(
                f"A batch of {batch_size} cannot be shared by {self.count} processes; make it a"
                " multiple."
            )
        share = batch_size // self.count
        if micro_batch is None:
            return self.count
        if micro_batch < 1 or share % micro_batch:
            raise ConfigError(
                f"A process's share of {share} samples cannot be cut into parts of {micro_batch};"
                " make micro_batch a divisor."
            )
        return batch_size // micro_batch

    def parts(self, count: int) -> range:
        """Which of a batch's ``count`` parts are ours."""
        return range(self.index, count, self.count)

    def sum(self, ours: Sequence[Tensor]) -> Tensor:
        """Sum over all parts of all processes, one after the other in the order of the batch.

        Floating-point sums depend on their order; so this one is, to the last bit, what one process
        makes of the same parts.

        Args:
            ours: a value for each of our `parts`, in their order.
        """
        parts = self.in_order(ours)
        total = parts[0]
        for value in parts[1:]:
            total = total + value
        return total

    def in_order(self, ours: Sequence[Tensor]) -> Tensor:
        """The values of all parts of all processes, stacked in the order of the batch.

        Args:
            ours: a value for each of our `parts`, in their order; all of one shape.
        """
        gathered = self.gather(torch.stack(list(ours)))
        in_order: Tensor = gathered.transpose(0, 1).flatten(0, 1)
        return in_order

    def gather(self, ours: Tensor) -> Tensor:
        """Every process's tensor, stacked along a new first axis."""
        if self.count == 1:
            return ours[None]
        from accelerate.utils import gather

        gathered: Tensor = gather(ours[None].contiguous())
        return gathered
