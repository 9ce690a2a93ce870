"""Transfer results drawn from a seed, through the models that writers use: every number in them is
test data and measures nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matboard.results.parts import Difference
from matboard.results.transfer import Cell, Condition, Model, TaskFacts, TransferResults

SOURCE = "tiny-minigpt4"
ENCODERS = {
    SOURCE: "e0",
    "tiny-blip2": "e0",
    "tiny-instructblip": "e0",
    "tiny-vpgtrans": "e0",
    "tiny-bliva": "e1",
    "tiny-visualglm": "e2",
}
TASKS = {
    "scenes-recognition/textures": ("accuracy", 0.1),
    "scenes-presence/noise": ("accuracy", 0.5),
    "scenes-reasoning/clutter": ("auc", 0.5),
}
GEOMETRY = "border 30 of 224"
METHODS = ("vp", "evp", "tvp")
N = 512


def baselines(geometry: str = GEOMETRY, suffix: str = "") -> list[Condition]:
    """The unlearned borders of one geometry."""
    return [
        Condition(
            name=kind + suffix,
            label=label,
            role="baseline",
            baseline=kind,
            geometry=geometry,
            compared_with=("full",),
        )
        for kind, label in (("shrunk", "black border"), ("random", "random border"))
    ]


def method(
    name: str,
    seeds: int = 3,
    geometry: str = GEOMETRY,
    suffix: str = "",
    registered: str = "",
) -> Condition:
    """A learned prompt's column."""
    return Condition(
        name=name,
        label=name.upper(),
        role="method",
        method=registered or name,
        geometry=geometry,
        seeds=tuple(range(seeds)),
        compared_with=("full", f"shrunk{suffix}", f"random{suffix}"),
    )


FULL = Condition(name="full", label="full picture", role="baseline", baseline="full")


def conditions(seeds: int = 3) -> list[Condition]:
    """One geometry with three methods."""
    return [FULL, *baselines(), *(method(name, seeds) for name in METHODS)]


def models() -> tuple[Model, ...]:
    """A source, three that share its encoder, two with others."""
    return tuple(
        Model(
            name=name,
            encoder=encoder,
            is_source=name == SOURCE,
            shares_encoder=encoder == ENCODERS[SOURCE],
        )
        for name, encoder in ENCODERS.items()
    )


def tasks(n: int = N) -> tuple[TaskFacts, ...]:
    """Three tasks of two metrics."""
    return tuple(
        TaskFacts(name=name, metric=metric, n=n, chance=chance)
        for name, (metric, chance) in TASKS.items()
    )


def make_transfer(
    seed: int = 0,
    gain: float = 0.05,
    shown: list[Condition] | None = None,
    few: bool = False,
) -> TransferResults:
    """A table of Bernoulli draws.

    Args:
        gain: what ``tvp`` adds to targets with the source's encoder, in probability.
        few: without intervals, as where there are too few samples.
    """
    rng = np.random.default_rng(seed)
    shown = conditions() if shown is None else shown
    cells = []
    for model in models():
        for task in tasks():
            base = 0.3 + 0.4 * rng.uniform()
            luck = rng.uniform(size=N)
            hits: dict[str, NDArray[np.float64]] = {}
            for condition in shown:
                limit = base + _lift(condition, model, gain)
                hits[condition.name] = _hits(
                    rng, luck, limit, max(1, len(condition.seeds))
                )
                cells += _cells(model, task, condition, hits, few)
    return TransferResults(
        sources=(SOURCE,),
        models=models(),
        tasks=tasks(),
        conditions=tuple(shown),
        cells=tuple(cells),
        notes=("Every number on this page is drawn from a seed: test data.",),
        seconds=171.3,
    )


def _lift(condition: Condition, model: Model, gain: float) -> float:
    if condition.name == "tvp":
        shared = gain if model.shares_encoder else 0.0
        return shared + 0.1 * model.is_source
    by_kind = {"full": 0.0, "shrunk": -0.05, "random": -0.08, None: -0.04}
    return by_kind[condition.baseline]


def _hits(
    rng: np.random.Generator, luck: NDArray[np.float64], limit: float, seeds: int
) -> NDArray[np.float64]:
    """Seeds × samples, mostly decided by a sample's own luck."""
    return np.array(
        [0.8 * luck + 0.2 * rng.uniform(size=N) < limit for _ in range(seeds)], float
    )


def _cells(
    model: Model,
    task: TaskFacts,
    condition: Condition,
    hits: dict[str, NDArray[np.float64]],
    few: bool,
) -> list[Cell]:
    """By ranking, and for the full picture and TVP by generation too."""
    mine = hits[condition.name]
    versus = {}
    for name in condition.compared_with:
        versus[name] = _difference((mine - hits[name].mean(axis=0)).mean(axis=0), few)
    mean = _difference(mine.mean(axis=0), few)
    cell = Cell(
        model=model.name,
        task=task.name,
        condition=condition.name,
        metric=task.metric,
        n=N,
        value=mean.value,
        low=mean.low,
        high=mean.high,
        seeds=tuple(mine.mean(axis=1).tolist()) if condition.seeds else (),
        versus=versus,
    )
    if condition.name not in ("full", "tvp"):
        return [cell]
    generated = {"scorer": "generation", "unparsable": 0.12, "value": 0.9 * mine.mean()}
    generated["versus"] = {"full": versus["full"]} if versus else {}
    return [cell, cell.model_copy(update=generated)]


def _difference(samples: NDArray[np.float64], few: bool) -> Difference:
    mean = float(samples.mean())
    if few:
        return Difference(value=mean, n=len(samples))
    half = 1.96 * float(samples.std()) / len(samples) ** 0.5
    return Difference(value=mean, low=mean - half, high=mean + half, n=len(samples))
