"""The page's panel on learning: losses, gradients, validation scores, and how each fit ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from matboard.report import curves
from matboard.report.figures import (
    WIDTH,
    Drawing,
    colour_of,
    new_axes,
    style,
    to_svg,
    variable,
)
from matboard.report.run_folder import RunFolder
from matboard.results import FitResults, StepRow
from matboard.results.transfer import TransferResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "validation score"
Axis: TypeAlias = Literal["step", "queries"]
"""Of a `StepRow`: what a validation score is drawn over."""
AXES: dict[Axis, str] = {
    "step": "steps",
    "queries": "pictures shown to the source models",
}


@dataclass(frozen=True)
class Validated:
    """One fit's validation scores.

    Attributes:
        points: (step or pictures shown, mean score over source models), from the start, 0, on.
        untouched: the score of the pictures as they are.
    """

    points: tuple[curves.Point, ...]
    untouched: float

    @property
    def best(self) -> curves.Point:
        """Where the prompt was best, which was kept: the first of equal ones."""
        return max(self.points, key=lambda point: (point[1], -point[0]))


def learning(run: RunFolder, results: TransferResults | None) -> dict[str, Any]:
    """What the template shows of it. A single fit: quantities of one kind together. Several: one
    line a variant.
    """
    learned = (*results.methods, *results.bounds) if results is not None else ()
    labels = {condition.name: condition.label for condition in learned}
    planned = [fit.variant for fit in run.fits]
    names = list(dict.fromkeys([*labels, *planned]))
    steps = {labels.get(name, name): run.steps_of(name) for name in names}
    if len({row.run for row in run.steps}) > 1:
        panels = curves.panel_each_quantity(steps)
        logged = enumerate(steps.items())
        colours = {label: place for place, (label, rows) in logged if rows}
        each: list[Sequence[StepRow]] = list(steps.values())
    else:
        panels = curves.panels_of_one(run.steps)
        colours = {}
        each = [run.steps]
    drawings = [curves.draw_panel(panel) for panel in panels]
    checked = [validations(rows) for rows in each]
    if any(checked):
        drawings.insert(1, draw_validations(checked))
    if any(checked) and any(map(_without_gradients, run.steps)):
        paid = [validations(rows, "queries") for rows in each]
        drawings.insert(2, draw_validations(paid, "queries"))
    return {
        "learning": drawings,
        "learners": colours,
        "validated": any(checked),
        "ended": run.outcomes,
        "converged": converged(run.outcomes.values()),
    }


def _without_gradients(row: StepRow) -> bool:
    """Whether a step was learned from answers alone: what it costs are the pictures shown."""
    return row.queries is not None and not row.gradient_norms


def validations(rows: Iterable[StepRow], over: Axis = "step") -> list[Validated]:
    """Those of each fit that was validated, in the log's order."""
    fits: dict[str, list[StepRow]] = defaultdict(list)
    for row in rows:
        fits[row.run].append(row)
    found = []
    for own in fits.values():
        references = _references(own)
        if references:
            points = tuple(_points(own, references, over))
            untouched = fmean(references["untouched"].values())
            found.append(Validated(points, untouched))
    return found


def converged(fits: Iterable[FitResults]) -> str:
    """How many of the fits had converged, in a sentence."""
    said = [fit.converged for fit in fits]
    counts = [f"{said.count(True)} of {len(said)} fits had converged"]
    if short := said.count(False):
        counts.append(
            f"{short} had not when {'its' if short == 1 else 'their'} steps ran out"
        )
    if unknown := said.count(None):
        counts.append(f"of {unknown} it cannot be told")
    return "; ".join(counts) + "."


def draw_validations(
    variants: Sequence[Sequence[Validated]], over: Axis = "step"
) -> Drawing:
    """A line a fit in its variant's colour, a ring where the prompt was kept, and the untouched
    pictures' score as a dashed line.
    """
    along = f"{TITLE} over {AXES[over]}"
    title = TITLE if over == "step" else along
    with style(title):
        axes = new_axes(WIDTH, 220, left=46, bottom=36)
        for colour, fits in enumerate(variants):
            for fit in fits:
                _draw(axes, fit, colour_of(colour))
        axes.set_xlabel("step" if over == "step" else AXES[over])
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y", color=variable("line"), linewidth=0.6)
        words = f"{along}, with the step whose prompt was kept"
        return Drawing(title, to_svg(axes, words))


def _draw(axes: Axes, fit: Validated, colour: str) -> None:
    steps, scores = zip(*fit.points, strict=True)
    axes.axhline(fit.untouched, color=colour, linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(steps, scores, color=colour, linewidth=1.4)
    step, score = fit.best
    axes.plot(
        [step],
        [score],
        color=colour,
        marker="o",
        markersize=7,
        markeredgewidth=1.6,
        markeredgecolor=colour,
        markerfacecolor=variable("surface"),
        clip_on=False,
    )


def _references(rows: Sequence[StepRow]) -> Mapping[str, Mapping[str, float]]:
    """Of the fit's first step; empty where it was not validated."""
    return next((row.references for row in rows if row.references), {})


def _points(
    rows: Sequence[StepRow],
    references: Mapping[str, Mapping[str, float]],
    over: Axis,
) -> Iterator[curves.Point]:
    yield 0, fmean(references["start"].values())
    for row in sorted(rows, key=lambda row: row.step):
        place = getattr(row, over)
        if row.validation and place is not None:
            yield place, fmean(row.validation.values())
