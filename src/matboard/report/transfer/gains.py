"""What methods gain over each model's best baseline, looked up by who, where and on what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from matboard.report.transfer.pooled import POOLED_TITLES
from matboard.report.words import plural
from matboard.results.parts import Difference
from matboard.results.transfer import (
    GROUPS,
    Cell,
    Condition,
    Contrast,
    Pooled,
    Scorer,
    TransferResults,
)

ORDER: tuple[Pooled, ...] = (*GROUPS, "unseen", "untaught")


@dataclass(frozen=True)
class Gains:
    """The contrasts of one scorer, the study's first."""

    results: TransferResults

    @property
    def scorer(self) -> Scorer:
        """By which everything here was read."""
        return next(iter(self.results.scorers), "ranking")

    @cached_property
    def groups(self) -> tuple[Pooled, ...]:
        """Groups of models that anything was pooled over."""
        known = {group for _, group, _ in self._found}
        return tuple(group for group in ORDER if group in known)

    def title(self, group: Pooled) -> str:
        """What a group is called, with the number of its models where that is always the same."""
        counts = {one.models for place, one in self._found.items() if place[1] == group}
        models = f" ({plural(counts.pop(), 'model')})" if len(counts) == 1 else ""
        return f"{POOLED_TITLES[group]}{models}"

    def of(
        self, method: Condition, group: Pooled, task: str | None = None
    ) -> Difference | None:
        """A method's gain on a group, over all tasks or on one of them."""
        if task is not None and len(self.results.tasks) == 1:
            task = None
        found = self._found.get((method.name, group, task))
        return None if found is None else found.difference

    def values(self, condition: Condition, group: Pooled) -> Iterator[Cell]:
        """A condition's cells of a group that have a value."""
        for cell in self.results.cells:
            mine = cell.condition == condition.name and cell.scorer == self.scorer
            if mine and cell.value is not None and cell.model in self.models(group):
                yield cell

    def mean(self, condition: Condition, group: Pooled) -> float | None:
        """Their mean; None where there is none."""
        values = [cell.value for cell in self.values(condition, group)]
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    def models(self, group: Pooled) -> frozenset[str]:
        """The models of a group that is the same for every method."""
        if group == "unseen":
            return frozenset(m.name for m in self.results.models if not m.is_source)
        if group == "untaught":
            return frozenset()
        return frozenset(model.name for model in self.results.group(group))

    @cached_property
    def _found(self) -> dict[tuple[str, Pooled, str | None], Contrast]:
        return {
            (one.method, one.group, one.task): one
            for one in self.results.contrasts
            if one.against is None and one.scorer == self.scorer
        }
