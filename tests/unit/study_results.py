"""Results of studies that vary something, drawn from a seed through the models that writers use:
every number in them is test data and measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matboard.results.parts import Difference
from matboard.results.transfer import (
    Cell,
    Condition,
    Contrast,
    Model,
    Origin,
    Pooled,
    TaskFacts,
    TransferResults,
)
from matboard.transfer.corrupted import corruption_of

MODELS = (
    Model(name="a", encoder="e0", is_source=True, shares_encoder=True),
    Model(name="b", encoder="e0", shares_encoder=True),
    Model(name="c", encoder="e1", shares_encoder=False),
)
GROUPS: dict[Pooled, tuple[str, ...]] = {
    "source": ("a",),
    "same": ("b",),
    "other": ("c",),
    "unseen": ("b", "c"),
}
N = 100


def learned(
    name: str, width: int = 30, method: str = "tvp", **origin: Any
) -> Condition:
    """A method's condition; ``origin`` as `Origin` has it."""
    geometry = f"border {width} of 224"
    told = {"variant": method, "sources": ("a",), "task": "t", **origin}
    return Condition(
        name=name,
        label=name.upper(),
        role="method",
        method=method,
        geometry=geometry,
        seeds=(0, 1, 2),
        compared_with=("full", f"shrunk {width}"),
        origin=Origin(**told),
    )


def table(
    methods: Sequence[Condition], tasks: Sequence[str] = ("t",), **more: Any
) -> TransferResults:
    """Value of a cell: 0.5, plus 0.01 for each learned prompt before it, plus 0.1 on model a;
    baselines 0.4, and 0.3 shrunk.
    """
    widths = dict.fromkeys(method.geometry for method in methods)
    baselines = [
        Condition(name="full", label="untouched", role="baseline", baseline="full")
    ]
    for geometry in widths:
        baselines.append(
            Condition(
                name=f"shrunk {str(geometry).split()[1]}",
                label="shrunk",
                role="baseline",
                baseline="shrunk",
                geometry=geometry,
            )
        )
    shown = [*baselines, *methods]
    cells = [
        _cell(model.name, task, condition, methods)
        for model in MODELS
        for task in tasks
        for condition in shown
    ]
    return TransferResults(
        sources=("a",),
        models=MODELS,
        tasks=tuple(
            TaskFacts(name=name, metric="accuracy", n=N, corruption=corruption_of(name))
            for name in tasks
        ),
        conditions=tuple(shown),
        cells=tuple(cells),
        contrasts=tuple(_contrasts(methods, tasks)),
        **more,
    )


def value(
    model: str, task: str, condition: Condition, methods: Sequence[Condition]
) -> float:
    """Of a cell; a severity costs 0.02."""
    corruption = corruption_of(task)
    cost = 0.0 if corruption is None else 0.02 * corruption.severity
    if condition.role == "baseline":
        return (0.4 if condition.baseline == "full" else 0.3) - cost
    place = list(methods).index(condition)
    return 0.5 + 0.01 * place + 0.1 * (model == "a") - cost


def _cell(
    model: str, task: str, condition: Condition, methods: Sequence[Condition]
) -> Cell:
    mine = value(model, task, condition, methods)
    versus = {}
    for name in condition.compared_with:
        other = 0.4 if name == "full" else 0.3
        versus[name] = difference(mine - other)
    return Cell(
        model=model,
        task=task,
        condition=condition.name,
        metric="accuracy",
        n=N,
        value=mine,
        low=mine - 0.05,
        high=mine + 0.05,
        seeds=(mine,) * len(condition.seeds),
        versus=versus,
    )


def difference(mean: float, half: float = 0.04) -> Difference:
    """With an interval."""
    return Difference(value=mean, low=mean - half, high=mean + half, n=N)


def _contrasts(methods: Sequence[Condition], tasks: Sequence[str]) -> list[Contrast]:
    places: list[str | None] = [None, *(tasks if len(tasks) > 1 else [])]
    groups = dict(GROUPS)
    found = []
    sources = {method.origin.sources for method in methods if method.origin}
    for method in methods:
        own = dict(groups)
        if len(sources) > 1 and method.origin is not None:
            taught = method.origin.sources
            own["untaught"] = tuple(m.name for m in MODELS if m.name not in taught)
        for group, models in own.items():
            for task in places:
                named = [task] if task else list(tasks)
                gains = [
                    value(m, t, method, methods) - 0.4 for m in models for t in named
                ]
                found.append(
                    Contrast(
                        scorer="ranking",
                        group=group,
                        task=task,
                        method=method.name,
                        models=len(models),
                        pairs=len(gains),
                        seeds=3,
                        difference=difference(float(np.mean(gains))),
                    )
                )
    return found
