"""The page of a stream: what its template shows, put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log2
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matboard.analysis import Selection
from matboard.report import curves
from matboard.report.figures import Drawing
from matboard.report.html import render_template, table_files
from matboard.report.run_folder import RunFolder
from matboard.report.stream import beside
from matboard.report.stream.beside import MeanMatrix, SelectionView
from matboard.report.stream.heat_map import Scale, heat_map, scale_over
from matboard.report.stream.plane import draw_plane
from matboard.report.stream.table import (
    arrange,
    by_seed,
    continual_table_csv,
    continual_table_rows,
    fewest_seeds,
    mean_forgetting,
)
from matboard.report.stream.unfinished import Running, SoFar, so_far
from matboard.report.stream.verdict import verdict
from matboard.report.words import MARKS, join, plural
from matboard.results import StreamResults
from matboard.results.stream import Learner

SIGNIFICANT = 0.05
SHARES = Scale(0, 1)
DEFINITIONS = {
    "chaudhry": (
        "best accuracy before the last stage minus accuracy at the end, mean over past tasks;"
        " negative where tasks got better"
    ),
    "l2p": "the same, but the last stage counts among the best, so never negative",
    "avalanche": "accuracy when the task was learned minus accuracy at the end",
    "coda": "mean drop from one stage to the next",
    "continuum-1.2.7": (
        "chaudhry without the last past task and the last stage but one, still divided by the"
        " number of all past tasks"
    ),
    "libcontinual": (
        "avalanche without the last past task, still divided by the number of all past tasks"
    ),
}
"""What a page says of each of ``FORGETTINGS``."""


@dataclass(frozen=True)
class MatrixFigure:
    """An accuracy matrix, drawn; None where there is none."""

    name: str
    of: str
    svg: str | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class BitsLine:
    """What one seed's choices, or all seeds' together, tell of a relation."""

    whose: str
    bits: float
    by_chance: float | None
    p: float


@dataclass(frozen=True)
class SelectionFigure:
    """One learner's choices: in words over all seeds, in bits by seed, the first seed drawn."""

    view: SelectionView
    lead: str
    tests: tuple[BitsLine, ...] = ()
    seed: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    frequency: str = ""
    similarity: str = ""
    ends: Scale = SHARES


def render_stream(run: RunFolder, results: StreamResults | None) -> str:
    """The page as text; of a study without results, what its finished and running fits left."""
    progress = SoFar(results.learners, results.outcomes) if results else so_far(run)
    kept = (run, progress.learners, progress.outcomes)
    means = beside.mean_matrices(*kept)
    matrices, scale = _matrices(means, progress.running)
    shown = (
        _measured(results)
        if results
        else {"results": None, "unfinished": progress.words}
    )
    return render_template(
        "stream.html.j2",
        run,
        command=run.command,
        marks=MARKS,
        matrices=matrices,
        differ=any(mean.differ for mean in means),
        running=progress.running,
        scale=scale,
        orders=beside.orders(progress.outcomes),
        seeds=fewest_seeds(progress.learners, progress.outcomes),
        pools=beside.pools(*kept),
        selections=[_selection(found) for found in beside.selections(*kept)],
        learning=_learning(run, progress.learners),
        **shown,
    )


def _measured(results: StreamResults) -> dict[str, Any]:
    weights = {
        point.learner: point.weight for path in results.paths for point in path.points
    }
    return {
        "results": results,
        "table_files": table_files(
            continual_table_csv(results), continual_table_rows(results)
        ),
        "title": results.title or None,
        "verdict": verdict(results),
        "table": arrange(results),
        "plane": draw_plane(results),
        "weights": weights,
        "definitions": DEFINITIONS,
        "mean_of": partial(_mean_of, results),
        "forgetting_of": partial(mean_forgetting, results),
        "few": any(summary.accuracy.too_few for summary in results.summary),
    }


def _mean_of(results: StreamResults, learner: str, quantity: str) -> float | None:
    values = [
        getattr(outcome, quantity) for outcome in by_seed(results.outcomes, learner)
    ]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


# -- matrices
# --------------------------------------------------------------------------------------------------


def _matrices(
    means: Sequence[MeanMatrix], running: Sequence[Running]
) -> tuple[list[MatrixFigure], Scale]:
    """Each learner's mean over finished seeds, and every seed that is not finished by itself; all
    share one scale.
    """
    known = [mean.values for mean in means if mean.values is not None]
    scale = scale_over([*known, *(fit.rows for fit in running)], 0.1)
    figures = []
    for mean in means:
        name = mean.learner.name
        of = plural(mean.seeds, "seed")
        svg = _draw(name, mean.values, scale)
        figures.append(MatrixFigure(name, of, svg, mean.missing))
    for fit in running:
        name = fit.fit.variant
        of = f"seed {fit.fit.seed}, {fit.done} of {len(fit.rows)} tasks so far"
        svg = _draw(name, fit.rows if fit.done else None, scale)
        problems = (fit.problem,) if fit.problem else ()
        figures.append(MatrixFigure(name, of, svg, problems))
    names = list(dict.fromkeys(figure.name for figure in figures))
    return sorted(figures, key=lambda figure: names.index(figure.name)), scale


def _draw(learner: str, values: NDArray[np.float64] | None, scale: Scale) -> str | None:
    if values is None:
        return None
    names = [str(place) for place in range(1, len(values) + 1)]
    return heat_map(values, scale, names, names, f"Accuracy matrix of {learner}")


# -- selection
# --------------------------------------------------------------------------------------------------


def _selection(view: SelectionView) -> SelectionFigure:
    if not view.found:
        return SelectionFigure(view, "nothing to show")
    seed, found = next(iter(view.found.items()))
    name = view.learner.name
    order = np.array(view.order)
    rows = ["all classes", *(found.classes[place] for place in order)]
    columns = [str(prompt) for prompt in range(found.prompts)]
    starts = [1, *(start + 1 for start in view.starts)]
    chosen = np.nansum(found.frequency, axis=1).max()  # k: the rows' sums
    shares = np.vstack([found.usage * chosen, found.frequency[order]])
    means = np.vstack([_weighted(found), found.similarity[order]])
    ends = scale_over([found.similarity], 0.1)
    frequency = f"How often each class chose each prompt of {name}"
    similarity = f"Mean similarity of each class to each prompt of {name}"
    care = " Read with care: it is flagged." if view.learner.flags else ""
    return SelectionFigure(
        view,
        relation(view) + care,
        tuple(_tests(view)),
        seed,
        selection_facts(found),
        heat_map(shares, SHARES, rows, columns, frequency, starts=starts),
        heat_map(means, ends, rows, columns, similarity, starts=starts),
        ends,
    )


def _tests(view: SelectionView) -> Iterator[BitsLine]:
    """Each seed's, and of several, all together."""
    for seed, found in view.found.items():
        by_chance = float(found.shuffled.mean()) if found.shuffled.size else None
        yield BitsLine(
            f"seed {seed}", found.mutual_information, by_chance, found.p_value
        )
    both = view.relation
    if both and len(view.found) > 1:
        yield BitsLine(
            "all seeds", both.mutual_information, both.by_chance, both.p_value
        )


def _weighted(found: Selection) -> NDArray[np.float64]:
    seen = found.samples > 0
    return np.average(found.similarity[seen], axis=0, weights=found.samples[seen])


def relation(view: SelectionView) -> str:
    """Whether classes and prompts are related, in words: over all seeds, or seed by seed where they
    cannot be tested together.
    """
    found = view.relation
    if found is None:
        each = [
            f"{one.p_value:.3g} with seed {seed}" for seed, one in view.found.items()
        ]
        return f"Each seed is tested by itself: p = {join(each)}."
    p = f"p = {found.p_value:.3g}"
    if len(view.found) > 1:
        p = f"{p} over {len(view.found)} seeds"
    if found.p_value <= 1 / (1 + found.permutations):
        p = f"{p}, the least that {found.permutations} shuffles can show"
    if found.p_value <= SIGNIFICANT:
        return f"Classes and prompts are related ({p})."
    return f"No relation could be shown ({p})."


def selection_facts(found: Selection) -> dict[str, str]:
    """What one seed's choices show."""
    few = found.samples.min()
    many = found.samples.max()
    each = few if few == many else f"{few} to {many}"
    dead = f"{len(found.dead)} of {found.prompts}"
    if found.dead:
        noun = "prompt" if len(found.dead) == 1 else "prompts"
        dead = f"{dead}: {noun} {runs_of(found.dead)}"
    usage = found.usage_entropy
    within = float(np.nanmean(found.class_entropy))
    return {
        "usage entropy": f"{usage:.2f} of at most {log2(found.prompts):.2f} bits: {_alike(usage)}",
        "within a class": f"{within:.2f} bits in the mean: {_alike(within)}",
        "never chosen": dead,
        "test samples": f"{found.samples.sum()}, {each} a class",
    }


def runs_of(numbers: Sequence[int]) -> str:
    """``"3, 5–9"``: neighbours as one run."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    runs = zip(starts, ends)
    return ", ".join(
        f"{start}" if start == end else f"{start}–{end}" for start, end in runs
    )


def _alike(bits: float) -> str:
    return f"as if {2**bits:.1f} prompts served alike"


def _learning(run: RunFolder, learners: Sequence[Learner]) -> list[Drawing]:
    """One panel a learner that learns by gradients: its loss and that loss's terms over the steps
    of all tasks, over all seeds.
    """
    names = [learner.name for learner in learners if learner.parameters != 0]
    panels = [curves.panel_of_losses(name, run.steps_of(name)) for name in names]
    return [curves.draw_panel(panel) for panel in panels if panel.lines]
