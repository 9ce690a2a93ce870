"""CMA-ES (Hansen & Ostermeier, 2001; tutorial: arXiv 1604.00772), as the ``cma`` package has it.

A generation is sampled from a normal distribution; the better half of it moves the mean and shapes
the covariance. The covariance has a row for each learned number, so the prompt must be one of low
resolution.

The package's strategy is an object that changes; what is kept of it are the losses that it was
told. Told them again, it stands where it stood, to the last bit: so a fit resumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from matboard.errors import ConfigError
from matboard.extras import require
from matboard.transfer.black_box.proposer import Bounds, Numbers, Proposer
from matboard.transfer.optimisers import Schedule, Update

MOST = 1000
"""Numbers whose covariance is learned (guess: a generation then costs about a second)."""
Count = Annotated[int, Field(ge=4, le=10**4)]
HISTORY = "losses"


@dataclass(frozen=True)
class Standing:
    """A strategy between two generations.

    Attributes:
        told: the losses of those before, ``generation proposal``; NaN where there were none.
        asked: the next one.
    """

    strategy: Any
    told: NDArray[np.float64]
    asked: list[NDArray[np.float64]]


class CmaEs(Proposer):
    """Covariance matrix adaptation. The schedule's ``lr`` is the standard deviation that it starts
    with; then it adapts its steps itself.

    Args:
        proposals: prompts of a generation, which is one step.

    Raises:
        ConfigError: more numbers than a covariance is learned of.
        MissingExtra: the package ``cma`` is not installed.
    """

    def __init__(
        self,
        start: Numbers,
        bounds: Bounds,
        schedule: Schedule,
        seed: int,
        *,
        proposals: Count = 16,
    ) -> None:
        super().__init__(start, bounds, schedule, seed, proposals)
        require("cma")
        if len(start) > MOST:
            raise ConfigError(
                f"CMA-ES learns the covariance of at most {MOST} numbers, but the prompt has"
                f" {len(start)}; set prompt.resolution, such as 8."
            )
        self._standing: Standing | None = None

    def memory(self) -> dict[str, Tensor]:
        """See `Proposer.memory`."""
        shape = (self.schedule.steps, self.proposals)
        return {HISTORY: torch.full(shape, torch.nan, dtype=torch.float64)}

    def propose(
        self, numbers: Numbers, step: int, memory: Mapping[str, Tensor]
    ) -> Float[Tensor, "proposal number"]:
        """See `Proposer.propose`."""
        del numbers
        standing = self._after(memory[HISTORY][:step].numpy())
        return torch.from_numpy(np.stack(standing.asked).astype(np.float32))

    def learn(
        self,
        numbers: Numbers,
        losses: Float[Tensor, " proposal"],
        step: int,
        memory: Mapping[str, Tensor],
    ) -> Update:
        """See `Proposer.learn`: the mean of the distribution."""
        history = memory[HISTORY].clone()
        history[step] = losses
        standing = self._after(history[: step + 1].numpy())
        mean = torch.from_numpy(standing.strategy.result.xfavorite)
        return Update(mean.to(numbers.dtype), {HISTORY: history})

    def _after(self, told: NDArray[np.float64]) -> Standing:
        """Where a strategy stands that was told these losses: the one that is here where it was
        told all of them but the last ones, else a new one.
        """
        here = self._standing
        self._standing = None  # whatever interrupts what follows leaves none half-told
        known = 0 if here is None else len(here.told)
        if here is None or not np.array_equal(here.told, told[:known], equal_nan=True):
            here = self._first()
        for losses in told[len(here.told) :]:
            here = self._next(here, losses)
        self._standing = here
        return here

    def _first(self) -> Standing:
        import cma

        draw = self.randomness(0)
        options = {
            "popsize": self.proposals,
            "bounds": list(self.bounds or (None, None)),
            "seed": np.nan,  # numpy's own state is left alone
            "randn": lambda *shape: draw.standard_normal(shape),
            "signals_filename": "",  # it would obey a file of that name
            "verbose": -9,
        }
        strategy = cma.CMAEvolutionStrategy(
            self.start.double().numpy(), self.schedule.lr, options
        )
        empty = np.empty((0, self.proposals))
        return Standing(strategy, empty, strategy.ask())

    def _next(self, here: Standing, losses: NDArray[np.float64]) -> Standing:
        if np.isfinite(losses).all():
            here.strategy.tell(here.asked, losses.tolist())
        told = np.vstack([here.told, losses])
        return Standing(here.strategy, told, here.strategy.ask())
