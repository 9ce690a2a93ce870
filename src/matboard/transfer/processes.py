"""The processes that share each batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        summed: Tensor = reduce(tensor, reduction="sum")
        return summed
