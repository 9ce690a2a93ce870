"""What a learned prompt is compared with: the best baseline of that model, or one of a kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from matboard.results.parts import Difference
from matboard.results.transfer import (
    Baseline,
    Cell,
    Condition,
    Scorer,
    TransferResults,
    best_baseline,
)

Reference: TypeAlias = Literal["best"] | Baseline

WORDS: dict[Reference, str] = {
    "best": "the best baseline of each model",
    "full": "the full picture without a prompt",
    "shrunk": "the shrunk picture behind a black border",
    "random": "a random border",
    "flat": "the flat border it was learned from",
}


@dataclass(frozen=True)
class Comparison:
    """Differences of everything that one scorer measured."""

    results: TransferResults
    scorer: Scorer

    @cached_property
    def cells(self) -> dict[tuple[str, str, str], Cell]:
        """(model, task, condition) → cell."""
        return self.results.by_place(self.scorer)

    @cached_property
    def kinds(self) -> dict[str, Baseline]:
        """Name of a baseline → which one it is."""
        return {
            c.name: c.baseline
            for c in self.results.conditions
            if c.baseline is not None
        }

    def cell(self, model: str, task: str, condition: Condition) -> Cell | None:
        """The cell of that place, where it was measured."""
        return self.cells.get((model, task, condition.name))

    @property
    def learned(self) -> list[Cell]:
        """Cells of learned prompts; not of those learned on each model itself, which are no
        transfer.
        """
        methods = {method.name for method in self.results.methods}
        return [cell for cell in self.cells.values() if cell.condition in methods]

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """What any learned prompt was compared with, the best baseline first."""
        return tuple(
            reference
            for reference in WORDS
            if any(self.against(cell, reference) for cell in self.learned)
        )

    def best(self, cell: Cell) -> str | None:
        """See `best_baseline`; None for a baseline itself."""
        if cell.condition in self.kinds:
            return None
        return best_baseline(cell, self.cells, self.kinds)

    def against(self, cell: Cell | None, reference: Reference) -> Difference | None:
        """The paired difference to a reference; of a baseline only that to the full picture."""
        if cell is None or (cell.condition in self.kinds and reference != "full"):
            return None
        if reference == "best":
            name = self.best(cell)
        else:
            named = (name for name in cell.versus if self.kinds.get(name) == reference)
            name = next(named, None)
        found = None if name is None else cell.versus[name]
        return None if found is None or found.value is None else found
