"""What every file of results is made of: frozen parts that refuse what they do not know."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from matboard.metrics import Estimate

SCHEMA = 2
"""Number of the form that results are written in; matboard 0.1.0 wrote 1, or none at all."""

Decision: TypeAlias = Literal["better", "worse", "undecided"]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_finite)]
"""JSON has no NaN and no infinity: a number that is not finite is None."""


class Part(BaseModel):
    """A part of the results: frozen, and closed, so that writer and reader cannot drift apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return self.model_dump(mode="json", by_alias=True)


class Skipped(Part):
    """A picture that was left out, and why."""

    id: str
    reason: str


class Interval(Part):
    """A value and its 95 % interval over ``n`` samples.

    Attributes:
        low, high: None where there are too few samples for an interval.
    """

    value: Number = None
    low: Number = None
    high: Number = None
    n: int | None = None

    @classmethod
    def of(cls, estimate: Estimate) -> Interval:
        """What was measured."""
        return cls(
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=estimate.n,
        )

    @property
    def too_few(self) -> bool:
        """Whether something was measured on too few samples for an interval."""
        return self.value is not None and (self.low is None or self.high is None)


class Difference(Interval):
    """A paired difference and its 95 % interval."""

    @classmethod
    def of(cls, estimate: Estimate) -> Difference:
        """What was measured."""
        return cls(**Interval.of(estimate).model_dump())

    @property
    def decision(self) -> Decision:
        """Which side of zero the whole interval lies on; undecided where there is no interval."""
        if self.low is not None and self.low > 0:
            return "better"
        if self.high is not None and self.high < 0:
            return "worse"
        return "undecided"

    @property
    def turned(self) -> Difference:
        """The same with the opposite sign, for quantities of which less is better."""
        return Difference(
            value=_minus(self.value),
            low=_minus(self.high),
            high=_minus(self.low),
            n=self.n,
        )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
