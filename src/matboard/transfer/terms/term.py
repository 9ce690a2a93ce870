"""What every term of an objective says of itself."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from jaxtyping import Float
from torch import Tensor

from matboard.errors import ConfigError
from matboard.models.capabilities import Images
from matboard.registry import check_options, options_of
from matboard.transfer.passes import GuidePass, ModelPass, Needs

Scalar: TypeAlias = Float[Tensor, ""]


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """One summand of an objective; its options are its constructor's keywords.

    A term is one of three kinds: `ModelTerm`, `GuideTerm`, `CanvasTerm`. Its value is a *sum over
    the batch*: `Fit` divides by the size of the whole batch, which several processes may share.

    Attributes:
        name: what configuration and logs call it.
        title: what people read.
        sign: −1 for a similarity, which is to grow.
        weight: how much it counts; 0 is as if it were not there.

    Raises:
        ConfigError: an option of the wrong kind.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    sign: ClassVar[float] = 1.0
    weight: float

    def __post_init__(self) -> None:
        check_options(self.options(), options_of(type(self)), f"term {self.name!r}")
        if self.weight < 0:
            raise ConfigError(
                f"The weight of {self.name!r} is {self.weight}; expected a number of at least 0"
                " (the sign is built in)."
            )

    @property
    def needs(self) -> Needs:
        """What it is computed from beside the prompted canvases."""
        return Needs()

    def options(self) -> dict[str, Any]:
        """Its constructor's keywords, JSON-able."""
        return dataclasses.asdict(self)


class ModelTerm(Term):
    """A term of every source model; the objective takes the mean over models (TVP §4.3)."""

    @abstractmethod
    def value(self, seen: ModelPass) -> Scalar:
        """The sum over this batch."""

    def units(self, seen: ModelPass) -> int:
        """How many of what the sum is divided by this batch has; asked where `needs` says that the
        term ``counts``.
        """
        return len(seen.samples)


class GuideTerm(Term):
    """A term of the guide, once a step."""

    @property
    def needs(self) -> Needs:
        return Needs(guide=True)

    @abstractmethod
    def value(self, seen: GuidePass) -> Scalar:
        """The sum over this batch."""


class CanvasTerm(Term):
    """A term of the prompted canvases alone, once a step."""

    @abstractmethod
    def value(self, canvases: Images) -> Scalar:
        """The sum over this batch."""
