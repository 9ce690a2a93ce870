"""Corrupted pictures: what each method changes to the untouched picture under the same corruption,
by kind and by severity (the paper's Tab. 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from matboard.metrics import of_mean
from matboard.report.figures import Drawing
from matboard.report.plain_table import PlainTable, Said, gain_cell
from matboard.report.transfer.drawn import (
    Curve,
    Matrix,
    Point,
    draw_curves,
    draw_matrix,
)
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.sweep import REFERENCES, baseline_of
from matboard.report.transfer.views import StudyView
from matboard.report.words import fixed
from matboard.results.parts import Difference
from matboard.results.transfer import (
    Condition,
    Corruption,
    Pooled,
    TransferResults,
)


def corrupted(results: TransferResults) -> Iterator[StudyView]:
    """A view where pictures were corrupted in at least two ways."""
    pools = [_Pool(Gains(results), group) for group in Gains(results).groups]
    pools = [pool for pool in pools if pool.methods and len(pool.tasks) > 1]
    if not pools:
        return
    tables = []
    drawings: list[Drawing] = []
    for pool in pools:
        tables.append(pool.table())
        drawings += pool.drawings()
    yield StudyView(
        slug="corruptions",
        title="Corrupted pictures",
        words=(
            "What a prompt changes to the untouched picture under the same corruption, mean over"
            " models and severities. The last line is the mean over kinds, with a 95 % interval"
            " over kinds as if they were drawn from many; intervals over pictures and seeds stand"
            " in the verdict. In panels of accuracy the untouched picture is dashed, the shrunk one"
            " dotted; severity 0 are the pictures as they are."
        ),
        tables=tuple(tables),
        drawings=tuple(drawings),
    )


@dataclass(frozen=True)
class _Pool:
    """One group of models under every corruption."""

    gains: Gains
    group: Pooled

    @cached_property
    def tasks(self) -> dict[str, Corruption]:
        """The corrupted tasks."""
        return {
            task.name: task.corruption
            for task in self.gains.results.tasks
            if task.corruption is not None
        }

    @cached_property
    def clean(self) -> frozenset[str]:
        """Judged tasks that others are corrupted versions of."""
        named = {corruption.clean for corruption in self.tasks.values()}
        return frozenset(t.name for t in self.gains.results.tasks if t.name in named)

    @cached_property
    def methods(self) -> list[Condition]:
        """Those that were judged on this group."""
        known = self.gains.results.methods
        return [one for one in known if self._values(one, _any)]

    @cached_property
    def kinds(self) -> list[str]:
        """In the order that they were judged in."""
        return list(dict.fromkeys(one.kind for one in self.tasks.values()))

    def table(self) -> PlainTable:
        """A kind a line: the untouched picture's value, then each method's change."""
        rows = []
        for kind in self.kinds:
            full = self._mean(self._full, _of_kind(kind))
            changes = [Difference(value=self.change(one, kind)) for one in self.methods]
            cells = (Said(fixed(full)), *map(gain_cell, changes))
            rows.append((kind.replace("_", " "), cells))
        full = self._mean(self._full, _any)
        rows.append(("mean over kinds", (Said(fixed(full)), *self._mean_cells())))
        heads = ("corruption", "untouched", *(one.label for one in self.methods))
        return PlainTable(f"Change, {self.gains.title(self.group)}", heads, tuple(rows))

    def _mean_cells(self) -> Iterator[Said]:
        for method in self.methods:
            yield gain_cell(self.mean_change(method))

    def mean_change(self, method: Condition) -> Difference:
        """Over kinds, with its interval over them."""
        changes = [self.change(method, kind) for kind in self.kinds]
        known = [change for change in changes if change is not None]
        return Difference.of(of_mean(np.array(known)))

    def change(self, method: Condition, kind: str) -> float | None:
        """A method's mean minus the untouched picture's, over a kind's severities."""
        own = self._mean(method, _of_kind(kind))
        full = self._mean(self._full, _of_kind(kind))
        return None if own is None or full is None else own - full

    def drawings(self) -> Iterator[Drawing]:
        """Curves over severity, and a matrix of kinds and methods."""
        title = self.gains.title(self.group)
        severities = sorted({one.severity for one in self.tasks.values()})
        if len(severities) > 1 or self.clean:
            shown = [0, *severities] if self.clean else severities
            yield draw_curves(f"accuracy, {title}", "severity", self._curves(shown))
        matrix = Matrix(
            tuple(kind.replace("_", " ") for kind in self.kinds),
            tuple(one.label for one in self.methods),
            tuple(
                tuple(self.change(one, kind) for one in self.methods)
                for kind in self.kinds
            ),
        )
        yield draw_matrix(f"change, {title}", matrix)

    def _curves(self, severities: Sequence[int]) -> list[Curve]:
        curves = []
        for colour, method in enumerate(self.methods):
            points = self._points(method, severities)
            curves.append(Curve(method.label, colour, tuple(points)))
        for kind, label in REFERENCES:
            for method in self.methods[:1]:
                baseline = baseline_of(self.gains.results, method, kind)
                if baseline is not None:
                    points = self._points(baseline, severities)
                    curves.append(Curve(label, None, tuple(points)))
        return curves

    def _points(
        self, condition: Condition, severities: Sequence[int]
    ) -> Iterator[Point]:
        for severity in severities:
            if severity == 0:
                found = self._clean_mean(condition)
            else:
                found = self._mean(condition, _of_severity(severity))
            if found is not None:
                yield Point(severity, found)

    @property
    def _full(self) -> Condition:
        return self.gains.results.condition("full")

    def _mean(
        self, condition: Condition, wanted: Callable[[Corruption], bool]
    ) -> float | None:
        values = self._values(condition, wanted)
        return fmean(values) if values else None

    def _values(
        self, condition: Condition, wanted: Callable[[Corruption], bool]
    ) -> list[float]:
        found = []
        for cell in self.gains.values(condition, self.group):
            corruption = self.tasks.get(cell.task)
            if corruption is not None and wanted(corruption) and cell.value is not None:
                found.append(cell.value)
        return found

    def _clean_mean(self, condition: Condition) -> float | None:
        cells = self.gains.values(condition, self.group)
        values = [cell.value for cell in cells if cell.task in self.clean]
        known = [value for value in values if value is not None]
        return fmean(known) if known else None


def _any(_: Corruption) -> bool:
    return True


def _of_kind(kind: str) -> Callable[[Corruption], bool]:
    def wanted(one: Corruption) -> bool:
        return one.kind == kind

    return wanted


def _of_severity(severity: int) -> Callable[[Corruption], bool]:
    def wanted(one: Corruption) -> bool:
        return one.severity == severity

    return wanted
