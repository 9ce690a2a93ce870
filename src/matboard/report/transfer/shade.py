"""Colours of the heat map: how far a value lies from what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping

from matboard.report.transfer.references import Comparison, Reference
from matboard.results.transfer import Cell, TransferResults

SPANS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Ends that the colour scale may have."""


class Shade:
    """A diverging scale around zero difference, one for the whole page."""

    def __init__(self, results: TransferResults) -> None:
        self._comparisons = {
            scorer: Comparison(results, scorer) for scorer in results.scorers
        }
        largest = 0.0
        for cell in results.cells:
            for difference in self.differences(cell).values():
                largest = max(largest, abs(difference))
        self.span = next((span for span in SPANS if span >= largest), SPANS[-1])

    def differences(self, cell: Cell) -> dict[Reference, float]:
        """The cell minus each reference that it was compared with."""
        comparison = self._comparisons[cell.scorer]
        found: dict[Reference, float] = {}
        for reference in comparison.references:
            difference = comparison.against(cell, reference)
            if difference is not None and difference.value is not None:
                found[reference] = difference.value
        return found

    def style(self, differences: Mapping[Reference, float]) -> str:
        """An inline style: for each reference how much of which end's colour is mixed into the
        surface. The page's switch chooses among them.
        """
        parts = []
        for reference, difference in differences.items():
            if difference:
                end = "better" if difference > 0 else "worse"
                amount = min(100, round(100 * abs(difference) / self.span))
                parts.append(
                    f"--{reference}-end: var(--{end}); --{reference}-amount: {amount}%"
                )
        return "; ".join(parts)
