"""A continual run's folder drawn from a seed: every number in it is test data and measures nothing."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import yaml
from PIL import Image

from matboard.analysis import selection
from matboard.metrics import AccuracyMatrix
from matboard.metrics.accuracy_matrix import FORGETTINGS

TASKS, EACH, PROMPTS, CHOSEN = 10, 10, 10, 3
NOUNS = ["apple", "boy", "castle", "dolphin", "elm", "forest", "glider", "house", "island", "jar"]
CLASSES = [f"{noun} {letter}" for letter in "abcdefghij" for noun in NOUNS]
MAJORITY = "selection by majority vote of the evaluation batch"
# name, method, kind, accuracy when learned, lost at each later stage, options, flags
LEARNERS: list[tuple[str, str, str, float, float, dict[str, Any], list[str]]] = [
    ("l2p", "l2p", "prompt", 0.90, 0.016, {"prompts": 10, "select": 3}, []),
    ("l2p-batchwise", "l2p", "prompt", 0.92, 0.012, {"prompts": 10, "select": 3}, [MAJORITY]),
    ("images-patch", "image_prompts", "prompt", 0.905, 0.014, {"route": "patch"}, []),
    ("images-reshape", "image_prompts", "prompt", 0.88, 0.022, {"route": "reshape"}, []),
    ("generator-lwf-0", "generator", "prompt", 0.90, 0.030, {"lwf": 0.0}, []),
    ("generator-lwf-0.5", "generator", "prompt", 0.87, 0.016, {"lwf": 0.5}, []),
    ("generator-lwf-1", "generator", "prompt", 0.82, 0.009, {"lwf": 1.0}, []),
    ("one-prompt", "one_prompt", "baseline", 0.86, 0.020, {}, []),
    ("class-means", "class_means", "control", 0.83, 0.006, {}, []),
    ("ridge", "ridge", "control", 0.91, 0.008, {}, []),
]


def interval(values: list[float], n: int = 5000) -> dict[str, float | int | None]:
    half = 2 * stdev(values) if len(values) > 1 else None
    mean = fmean(values)
    return {
        "value": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "n": n,
    }


def draw_matrix(
    rng: np.random.Generator, level: float, loss: float, luck: np.ndarray, names: list[str]
) -> AccuracyMatrix:
    """Falls from the diagonal down; ``luck`` is a task's difficulty, which all learners share."""
    values = np.full((TASKS, TASKS), np.nan)
    for j in range(TASKS):
        for t in range(j, TASKS):
            values[t, j] = np.clip(level + luck[j] - loss * (t - j) + rng.normal(0, 0.012), 0, 1)
    return AccuracyMatrix(values, names)


def draw_selection(
    rng: np.random.Generator, order: np.ndarray, bond: float, batchwise: bool
) -> dict[str, Any]:
    """Classes of a task like the same prompts, by ``bond``; three prompts are nobody's. A batch's
    vote: all alike.
    """
    labels = np.repeat(np.arange(len(CLASSES)), 20)
    task = np.argsort(order)[labels] // EACH
    similarity = rng.normal(0.2, 0.05, (len(labels), PROMPTS)) - 0.25 * (np.arange(PROMPTS) >= 7)
    similarity[np.arange(len(labels)), task % 7] += bond
    chosen = np.argsort(-similarity, axis=1)[:, :CHOSEN]
    if batchwise:
        chosen = np.tile(np.argsort(-similarity.mean(axis=0))[:CHOSEN], (len(labels), 1))
    return selection(chosen, similarity, labels, CLASSES, permutations=99).as_json()


def make_continual_run(folder: Path, *, seeds: int = 3, learners: int = len(LEARNERS)) -> Path:
    """A finished run folder of the first ``learners`` learners."""
    for part in ("matrices", "selection", "pictures"):
        (folder / part).mkdir(parents=True)
    chosen = LEARNERS[:learners]
    cells = [
        _cell(folder, index, learner, seed, np.random.default_rng([seed, index]))
        for index, learner in enumerate(chosen)
        for seed in range(seeds)
    ]
    controls = [n for n, _, kind, *_ in chosen if kind == "control"]
    control = max(
        controls,
        key=lambda n: fmean(c["accuracy"] for c in cells if c["learner"] == n),
        default=None,
    )
    results = {
        "kind": "continual",
        "title": "Ten tasks of drawn numbers",
        "stream": {
            "name": "cifar100",
            "kind": "class-incremental",
            "tasks": TASKS,
            "classes": CLASSES,
            "train": 50000,
            "test": 10000,
        },
        "backbone": {"name": "clip-vit-b16", "dim": 768, "side": 112, "layers": 12},
        "reference": "l2p",
        "control": control,
        "learners": [
            {
                "name": n,
                "method": m,
                "kind": k,
                "options": o,
                "flags": f,
                "parameters": 76_800 * (k != "control"),
                "state_bytes": 456_000 * (i + 1),
            }
            for i, (n, m, k, _, _, o, f) in enumerate(chosen)
        ],
        "cells": cells,
        "summary": [summary(cells, learner[0], control) for learner in chosen],
        "path": [
            {"weight": o["lwf"], "learner": n} for n, _, _, _, _, o, _ in chosen if "lwf" in o
        ],
        "peak_memory_mb": 1234,
        "seconds": 4321.0,
        "notes": ["Every number on this page is drawn from a seed: test data."],
    }
    (folder / "results.json").write_text(json.dumps(results))
    asked = {
        "stream": {"tasks": TASKS},
        "seeds": list(range(seeds)),
        "learners": {n: {"learner": m, **o} for n, m, _, _, _, o, _ in chosen},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    for cell in cells:
        fit = folder / "fits" / f"{cell['learner']}-s{cell['seed']}"
        fit.mkdir(parents=True)
        (fit / "results.json").write_text(
            json.dumps({name: cell[name] for name in ("matrix", "selection", "pictures")})
        )
    (folder / "environment.json").write_text(
        json.dumps({"python": "3.11.9", "command": ["matboard", "continual", "my config.yaml"]})
    )
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for cell in cells for row in _rows(cell))
    )
    return folder


def _cell(
    folder: Path, index: int, learner: tuple[Any, ...], seed: int, rng: np.random.Generator
) -> dict[str, Any]:
    name, _, kind, level, loss, options, flags = learner
    common = np.random.default_rng(seed)
    order = common.permutation(len(CLASSES)) if seed else np.arange(len(CLASSES))
    tasks = [", ".join(CLASSES[c] for c in part) for part in order.reshape(TASKS, EACH)]
    matrix = draw_matrix(
        rng, level + rng.normal(0, 0.004), loss, common.normal(0, 0.03, TASKS), tasks
    )
    stem = f"{name}-s{seed}"
    matrix.to_csv(folder / "matrices" / f"{stem}.csv")
    pooled = kind == "prompt"
    if pooled:
        content = draw_selection(rng, order, 0.0 if "generator" in name else 0.06, bool(flags))
        (folder / "selection" / f"{stem}.json").write_text(json.dumps(content))
    pictures = []
    if "route" in options or "lwf" in options:
        (folder / "pictures" / stem).mkdir()
        for prompt in range(PROMPTS):
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            pictures.append(f"pictures/{stem}/{prompt}.png")
            Image.fromarray(np.kron(coarse, np.ones((4, 4, 1), dtype=np.uint8))).save(
                folder / pictures[-1]
            )
    return {
        "learner": name,
        "seed": seed,
        "accuracy": matrix.average_accuracy(),
        "average_incremental_accuracy": matrix.average_incremental_accuracy(),
        "learning_accuracy": matrix.learning_accuracy(),
        "backward_transfer": matrix.backward_transfer(),
        "forgetting": {definition: matrix.forgetting(definition) for definition in FORGETTINGS},
        "seconds": 12.3 * (index + 1),
        "matrix": f"matrices/{stem}.csv",
        "selection": f"selection/{stem}.json" if pooled else None,
        "pictures": pictures,
        "tasks": tasks,
    }


def summary(
    cells: list[dict[str, Any]], learner: str, control: str | None, reference: str = "l2p"
) -> dict[str, Any]:
    of = {
        "accuracy": lambda cell: cell["accuracy"],
        "forgetting": lambda cell: cell["forgetting"]["chaudhry"],
        "average_incremental_accuracy": lambda cell: cell["average_incremental_accuracy"],
    }
    mine = [cell for cell in cells if cell["learner"] == learner]

    def beside(other: str | None) -> dict[str, Any] | None:
        theirs = [cell for cell in cells if cell["learner"] == other]
        if other in (None, learner):
            return None
        return {
            what: interval([of[what](a) - of[what](b) for a, b in zip(mine, theirs)])
            for what in ("accuracy", "forgetting")
        }

    values = {what: interval([get(cell) for cell in mine]) for what, get in of.items()}
    return {
        "learner": learner,
        "seconds": mine[0]["seconds"],
        **values,
        "against": beside(reference),
        "over_control": beside(control),
    }


def _rows(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps count from 1 in every task."""
    rng = np.random.default_rng(cell["seed"])
    rows = []
    for task in range(TASKS):
        for step in range(1, 21):
            losses = {
                "task_loss": 2.3 * np.exp(-step / 8) + 0.2 + rng.normal(0, 0.03),
                "pull": 0.3 + rng.normal(0, 0.02),
            }
            rows.append(
                {
                    "run": f"{cell['learner']}-s{cell['seed']}",
                    "task": task,
                    "step": step,
                    "loss": sum(losses.values()),
                    "losses": losses,
                }
            )
    return rows if cell["selection"] else []
