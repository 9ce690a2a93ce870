"""A sum of weighted terms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from matboard.errors import ConfigError
from matboard.transfer.passes import Needs
from matboard.transfer.terms.task_loss import TaskLoss
from matboard.transfer.terms.term import CanvasTerm, GuideTerm, ModelTerm, Term


class Objective:
    """What a prompt is trained for: Σ ± weight · term. Without terms the task loss alone.

        Objective(FeatureConsistency(weight=0.005), SemanticEnrichment(weight=0.001))

    is TVP's (Eq. 6). The task loss stands in every objective; name it to give it other options.

    Attributes:
        terms: those of any weight.

    Raises:
        ConfigError: a term twice, or nothing of any weight.
    """

    def __init__(self, *terms: Term) -> None:
        named = any(isinstance(term, TaskLoss) for term in terms)
        given = terms if named else (TaskLoss(), *terms)
        names = [term.name for term in given]
        for term in given:
            if names.count(term.name) > 1:
                raise ConfigError(
                    f"{term.name!r} stands twice in the objective; give it once."
                )
            if not isinstance(term, ModelTerm | GuideTerm | CanvasTerm):
                raise ConfigError(
                    f"The term {term.name!r} says not what it is computed from; derive it from"
                    " ModelTerm, GuideTerm or CanvasTerm."
                )
        self.terms = tuple(term for term in given if term.weight > 0)
        if not self.terms:
            raise ConfigError(
                f"No term has a weight ({', '.join(names)}): nothing would be learned. Give one of"
                " them a weight above 0."
            )

    def __repr__(self) -> str:
        return f"Objective({', '.join(map(repr, self.terms))})"

    @property
    def needs(self) -> Needs:
        """What all terms together are computed from."""
        return reduce(or_, (term.needs for term in self.terms))

    @property
    def of_models(self) -> list[ModelTerm]:
        """Terms of every source model."""
        return [term for term in self.terms if isinstance(term, ModelTerm)]

    @property
    def of_guide(self) -> list[GuideTerm]:
        """Terms of the guide."""
        return [term for term in self.terms if isinstance(term, GuideTerm)]

    @property
    def of_canvas(self) -> list[CanvasTerm]:
        """Terms of the prompted canvases."""
        return [term for term in self.terms if isinstance(term, CanvasTerm)]

    def total(self, losses: Mapping[str, float]) -> float:
        """L of Eq. 6: the weighted sum of what each term came to, by its name."""
        weighted = [t.sign * t.weight * losses[t.name] for t in self.terms]
        return float(sum(weighted))

    def record(self) -> dict[str, dict[str, Any]]:
        """Term → its options, JSON-able; `terms.objective` makes the same objective of it."""
        told = {term.name: term.options() for term in self.terms}
        if TaskLoss.name not in told:  # left out, it would count
            return {TaskLoss.name: {"weight": 0.0}, **told}
        return told
