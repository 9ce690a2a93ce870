"""The page of a continual run: what its template shows, put together."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log2
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from matboard.analysis import Selection
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report import curves
from matboard.report.continual_results import ContinualResults, Learner
from matboard.report.continual_table import arrange, difference_words
from matboard.report.continual_verdict import continual_verdict
from matboard.report.continual_view import (
    MeanMatrix,
    SelectionView,
    mean_matrices,
    orders,
    pools,
    selections,
)
from matboard.report.matrices import Scale, heat_map, scale_over
from matboard.report.plane import draw_plane, kind_of
from matboard.report.rendering import command, render_template, title
from matboard.report.run_view import RunView
from matboard.report.svg import Drawing
from matboard.report.transfer_table import MARKS
from matboard.report.unfinished import Running, SoFar, so_far
from matboard.report.verdict import join, plural

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


@dataclass(frozen=True)
class MatrixFigure:
    """An accuracy matrix, drawn; None where there is none."""

    learner: Learner
    of: str
    svg: str | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class SelectionFigure:
    """One learner's choices: in words over all seeds, bits seed by seed, and the first seed drawn."""

    view: SelectionView
    lead: str
    tests: tuple[tuple[str, float, float | None, float], ...] = ()
    seed: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    frequency: str = ""
    similarity: str = ""
    ends: Scale = SHARES


def render_continual(view: RunView, results: ContinualResults) -> str:
    """The page as text; of a run without results, what its finished and running fits left so far."""
    unread = "results" in view.missing
    progress = so_far(view.folder, view.config) if unread else SoFar(results, (), 0)
    kept = progress.results
    means = mean_matrices(view.folder, kept)
    matrices, scale = _matrices(means, progress.running)
    return render_template(
        "continual.html.j2",
        view,
        results=results,
        nothing=view.missing.get("results"),
        unfinished=progress.words if unread and not (view.folder / "results.json").exists() else "",
        resume=command(view)
        or shlex.join(
            ["matboard", "continual", str(view.folder / "config.yaml"), "--out", str(view.folder)]
        ),
        title=results.title or title(view),
        verdict=continual_verdict(results),
        command=command(view),
        table=arrange(results),
        marks=MARKS,
        difference=difference_words,
        kind_of=kind_of,
        matrices=matrices,
        differ=any(mean.differ for mean in means),
        running=progress.running,
        scale=scale,
        orders=orders(results),
        plane=draw_plane(results),
        weights={point.learner: point.weight for point in results.path},
        definitions={name: DEFINITIONS[name] for name in FORGETTINGS},
        mean_of=partial(_mean_of, results),
        pools=pools(view.folder, kept),
        selections=[_selection(found) for found in selections(view.folder, kept)],
        learning=_learning(view, results),
    )


def _mean_of(results: ContinualResults, learner: str, quantity: str) -> float | None:
    values = [getattr(outcome, quantity) for outcome in results.seeds_of(learner)]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _matrices(
    means: Sequence[MeanMatrix], running: Sequence[Running]
) -> tuple[list[MatrixFigure], Scale]:
    """Each learner's mean over finished seeds, and every seed that is not finished by itself; all
    share one scale.
    """
    scale = scale_over(
        [
            *(mean.values for mean in means if mean.values is not None),
            *(fit.rows for fit in running),
        ],
        0.1,
    )
    figures = [
        MatrixFigure(
            mean.learner,
            f"{mean.seeds} {plural(mean.seeds, 'seed')}",
            _draw_matrix(mean.learner, mean.values, scale),
            mean.missing,
        )
        for mean in means
    ]
    for fit in running:
        svg = _draw_matrix(fit.learner, fit.rows if fit.done else None, scale)
        problem = (fit.problem,) if fit.problem else ()
        figures.append(
            MatrixFigure(
                fit.learner,
                f"seed {fit.seed}, {fit.done} of {len(fit.rows)} tasks so far",
                svg,
                problem,
            )
        )
    names = list(dict.fromkeys(figure.learner.name for figure in figures))
    return sorted(figures, key=lambda figure: names.index(figure.learner.name)), scale


def _draw_matrix(learner: Learner, values: NDArray[np.float64] | None, scale: Scale) -> str | None:
    if values is None:
        return None
    names = [str(place) for place in range(1, len(values) + 1)]
    return heat_map(values, scale, names, names, f"Accuracy matrix of {learner.name}")


def _selection(view: SelectionView) -> SelectionFigure:
    if not view.found:
        return SelectionFigure(view, "nothing to show")
    seed, found = next(iter(view.found.items()))
    order = np.array(view.order)
    ends = scale_over([found.similarity], 0.1)
    rows = ["all classes", *(found.classes[place] for place in order)]
    columns = [str(prompt) for prompt in range(found.prompts)]
    starts = [1, *(start + 1 for start in view.starts)]
    chosen = np.nansum(found.frequency, axis=1).max()  # k: the rows' sums
    shares = np.vstack([found.usage * chosen, found.frequency[order]])
    means = np.vstack([_weighted(found), found.similarity[order]])
    return SelectionFigure(
        view,
        relation(view) + (" Read with care: it is flagged." if view.learner.flags else ""),
        tuple(_tests(view)),
        seed,
        selection_facts(found),
        heat_map(
            shares,
            SHARES,
            rows,
            columns,
            f"How often each class chose each prompt of {view.learner.name}",
            starts=starts,
        ),
        heat_map(
            means,
            ends,
            rows,
            columns,
            f"Mean similarity of each class to each prompt of {view.learner.name}",
            starts=starts,
        ),
        ends,
    )


def _tests(view: SelectionView) -> Iterator[tuple[str, float, float | None, float]]:
    """(whose, bits, bits by chance, p): each seed's and, of several, all together."""
    for seed, found in view.found.items():
        by_chance = float(found.shuffled.mean()) if found.shuffled.size else None
        yield f"seed {seed}", found.mutual_information, by_chance, found.p_value
    if view.relation and len(view.found) > 1:
        yield (
            "all seeds",
            view.relation.mutual_information,
            view.relation.by_chance,
            view.relation.p_value,
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
        each = join([f"{one.p_value:.3g} with seed {seed}" for seed, one in view.found.items()])
        return f"Each seed is tested by itself: p = {each}."
    over = f" over {len(view.found)} seeds" if len(view.found) > 1 else ""
    least = (
        f", the least that {found.permutations} shuffles can show"
        if found.p_value <= 1 / (1 + found.permutations)
        else ""
    )
    p = f"p = {found.p_value:.3g}{over}{least}"
    return (
        f"Classes and prompts are related ({p})."
        if found.p_value <= SIGNIFICANT
        else f"No relation could be shown ({p})."
    )


def selection_facts(found: Selection) -> dict[str, str]:
    """What one seed's choices show."""
    few, many = found.samples.min(), found.samples.max()
    dead, within = f"{len(found.dead)} of {found.prompts}", float(np.nanmean(found.class_entropy))
    return {
        "usage entropy": (
            f"{found.usage_entropy:.2f} of at most {log2(found.prompts):.2f} bits:"
            f" {_alike(found.usage_entropy)}"
        ),
        "within a class": f"{within:.2f} bits in the mean: {_alike(within)}",
        "never chosen": (
            f"{dead}: prompt{'s' if len(found.dead) > 1 else ''} {runs_of(found.dead)}"
            if found.dead
            else dead
        ),
        "test samples": (
            f"{found.samples.sum()}, {few if few == many else f'{few} to {many}'} a class"
        ),
    }


def runs_of(numbers: Sequence[int]) -> str:
    """``"3, 5–9"``: neighbours as one run."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in zip(starts, ends))


def _alike(bits: float) -> str:
    return f"as if {2**bits:.1f} prompts served alike"


def _learning(view: RunView, results: ContinualResults) -> list[Drawing]:
    """One panel a learner: its losses over the steps of all tasks, over all seeds."""
    logged = {curves.method_of(run) for run in view.curves}
    known = [learner.name for learner in results.arranged if learner.name in logged]
    panels = [_panel(view, name) for name in known or sorted(logged)]
    return [curves.draw_panel(panel) for panel in panels if panel.lines]


def _panel(view: RunView, learner: str) -> curves.Panel:
    runs = [found for run, found in view.curves.items() if curves.method_of(run) == learner]
    keys = sorted({key for found in runs for key in found if key[0] in ("loss", "losses")})
    keys = keys[:1] if len(keys) == 2 else keys  # a loss of one part is that part
    lines = [
        curves.Line(_loss(key), place, curves.over_seeds(view.curves, key, learner))
        for place, key in enumerate(keys)
    ]
    return curves.Panel(learner or "loss", tuple(lines), legend=len(lines) > 1)


def _loss(key: tuple[str, ...]) -> str:
    return key[-1].replace("_", " ") if len(key) > 1 else "whole loss"
