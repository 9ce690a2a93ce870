"""Learners over a stream of tasks: from a configuration to a run folder.

Every (learner, seed) is a fit of its own, kept after each task: a run that was killed goes on at
the task it was learning, and reaches the matrix it would have reached. A fit that is finished is
not made again, nor are pictures encoded for it.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from matboard import zoo
from matboard.continual.build import CONTROLS, options_of, resolve
from matboard.continual.eye import FrozenEye
from matboard.metrics import Estimate, stream_difference, stream_estimate
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.metrics.streams import Quantity
from matboard.runs import Run, write_atomically
from matboard.studies.config import ContinualConfig, TaskConfig
from matboard.studies.progress import Progress
from matboard.studies.stream_fit import StreamFit
from matboard.tasks import load_task
from matboard.tasks.stream import TaskStream, class_incremental, domain_incremental
from matboard.tasks.task import Task


def continual(
    config: ContinualConfig, out: Path, *, data_dir: Path | None = None, cache: Path | None = None
) -> Iterator[Progress]:
    """Run every learner with every seed over its stream, compare them, write the run folder.

    Args:
        out: the run folder; created, or taken up where it was left.
        data_dir: where local data sets lie.
        cache: where fetched backbones lie.

    Raises:
        InputError: before anything heavy starts, whatever in the configuration cannot be had.
    """
    started = time.perf_counter()
    options = {name: learner_options(config, name) for name in config.learners}
    streams = {seed: _stream(config, seed, data_dir) for seed in config.seeds}
    run = Run.open(out, config.model_dump(mode="json"))
    fits = {
        name: [StreamFit(run, name, seed, streams[seed], asked) for seed in config.seeds]
        for name, asked in options.items()
    }
    every = [fit for each in fits.values() for fit in each]
    unfinished = [fit for fit in every if not fit.finished]
    if run.finished and not unfinished:
        yield Progress("fits", len(every), len(every), "all found")
        return
    eye = _eye(config, cache)
    for fit in {fit.name: fit for fit in unfinished}.values():
        fit.build(eye)  # what cannot be built is known before anything is learned
    yield from _prepare(eye, unfinished)
    for fit in every:
        yield from fit.learn(eye)
    results = {
        **_results(config, fits, streams[config.seeds[0]], eye),
        **_costs(run, time.perf_counter() - started),
    }
    lines = [{"run": fit.key, **row} for fit in every for row in fit.child.metrics()]
    write_atomically(
        run.path("metrics.jsonl"), "".join(json.dumps(line) + "\n" for line in lines).encode()
    )
    run.write_results(results)


def learner_options(config: ContinualConfig, name: str) -> dict[str, Any]:
    """What a learner of the table is: ``learner`` and its options, with the study's training laid
    under them. Raises ConfigError.
    """
    asked = dict(config.learners[name])
    kind = str(asked.pop("learner", name))
    known = options_of(kind)
    common = (
        {key: value for key, value in config.training.items() if key in known}
        if "epochs" in known
        else {}
    )
    return {"learner": kind, **resolve(kind, {**common, **asked})}


def _stream(config: ContinualConfig, seed: int, data_dir: Path | None) -> TaskStream:
    if config.stream.kind == "domain-incremental":
        return domain_incremental(
            [
                _task(config.task.model_copy(update={"name": name}), data_dir)
                for name in config.stream.domains
            ]
        )
    order = seed if config.stream.order == "seeded" else None
    return class_incremental(_task(config.task, data_dir), config.stream.tasks, order)


def _task(config: TaskConfig, data_dir: Path | None) -> Task:
    task = load_task(
        config.name, data_dir=data_dir, train=config.train, test=config.test, seed=config.seed
    )
    return (
        task if config.held_out is None else task.validation_split(config.held_out, config.seed)[1]
    )


def _eye(config: ContinualConfig, cache: Path | None) -> FrozenEye:
    asked = config.backbone
    dtype, device = getattr(torch, asked.precision), "cuda" if torch.cuda.is_available() else "cpu"
    backbone = zoo.load_backbone(
        asked.model, cache=cache, side=asked.side, dtype=dtype, device=device, pixels=asked.pixels
    )
    return FrozenEye(backbone, batch_size=config.batch_size)


def _prepare(eye: FrozenEye, fits: Sequence[StreamFit]) -> Iterator[Progress]:
    """Encode every picture once for the fits that still need them, whatever the order of the
    classes.
    """
    samples = [s for t in fits[0].stream.tasks for s in (*t.train, *t.test)] if fits else []
    layers = {int(fit.options.get("layer", 0)) for fit in fits}
    for layer in sorted(layers - {0}) or [0]:
        stage = "encode pictures" if layer == 0 else f"encode pictures, blocks 0–{layer - 1}"
        for done in eye.prepare(samples, layer):
            yield Progress(stage, done, len(samples))


# -- results
# -------------------------------------------------------------------------------------------------------


def _results(
    config: ContinualConfig, fits: Mapping[str, list[StreamFit]], stream: TaskStream, eye: FrozenEye
) -> dict[str, Any]:
    reference = config.reference or next(iter(fits))
    control = _best_control(fits)
    backbone = eye.backbone
    return {
        "kind": "continual",
        "title": config.title,
        "stream": {
            "name": stream.name,
            "kind": stream.kind,
            "tasks": len(stream.tasks),
            "classes": list(stream.classes),
            "train": sum(len(t.train) for t in stream.tasks),
            "test": sum(len(t.test) for t in stream.tasks),
        },
        "backbone": {
            "name": backbone.name,
            "dim": backbone.dim,
            "side": backbone.side,
            "layers": backbone.depth,
        },
        "reference": reference,
        "control": control,
        "learners": [_described(name, each[0]) for name, each in fits.items()],
        "cells": [_cell(fit) for each in fits.values() for fit in each],
        "summary": _summary(fits, reference, control),
        "path": _path(fits),
        "notes": _notes(config),
    }


def _costs(run: Run, spent: float) -> dict[str, float]:
    """Seconds and memory, beside what a run finished earlier in this folder took."""
    before = run.results() if run.finished else {}
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {
        "peak_memory_mb": max(peak, before.get("peak_memory_mb", 0)),
        "seconds": round(before.get("seconds", 0.0) + spent, 1),
    }


def _described(name: str, fit: StreamFit) -> dict[str, Any]:
    options = {key: value for key, value in fit.options.items() if key != "learner"}
    sizes = {"parameters": fit.left.parameters, "state_bytes": fit.left.state_bytes}
    return {
        "name": name,
        "method": fit.options["learner"],
        "kind": _kind(fit),
        "options": options,
        "flags": list(fit.left.flags),
        **sizes,
    }


def _kind(fit: StreamFit) -> str:
    """``control``: no prompt is learned, be it that there is none or that it is left as it was
    drawn.
    """
    if fit.options["learner"] in CONTROLS or fit.options.get("adapt") == 0:
        return "control"
    return "baseline" if fit.options["learner"] == "fine-tune" else "prompt"


def _cell(fit: StreamFit) -> dict[str, Any]:
    matrix = fit.matrix()
    return {
        "learner": fit.name,
        "seed": fit.seed,
        "accuracy": matrix.average_accuracy(),
        "average_incremental_accuracy": matrix.average_incremental_accuracy(),
        "learning_accuracy": matrix.learning_accuracy(),
        "backward_transfer": matrix.backward_transfer(),
        "forgetting": {name: matrix.forgetting(name) for name in FORGETTINGS},
        "seconds": round(fit.seconds, 2),
        "skipped_steps": fit.skipped,
        "matrix": fit.left.matrix,
        "selection": fit.left.selection,
        "pictures": list(fit.left.pictures),
        "tasks": [t.name for t in fit.stream.tasks],
    }


def _best_control(fits: Mapping[str, list[StreamFit]]) -> str | None:
    """The control with the highest mean accuracy."""
    means = {
        name: np.mean([fit.matrix().average_accuracy() for fit in each])
        for name, each in fits.items()
        if _kind(each[0]) == "control"
    }
    return max(means, key=lambda name: means[name], default=None)


def _summary(
    fits: Mapping[str, list[StreamFit]], reference: str, control: str | None
) -> list[dict[str, Any]]:
    hits = {name: [fit.hits() for fit in each] for name, each in fits.items()}

    def beside(name: str, other: str | None) -> dict[str, Any] | None:
        if other in (None, name):
            return None
        return {
            q: _estimate(stream_difference(q, hits[other], hits[name]))
            for q in ("accuracy", "forgetting")
        }

    out = []
    for name, each in fits.items():
        row: dict[str, Any] = {
            "learner": name,
            "seconds": round(float(np.mean([f.seconds for f in each])), 2),
        }
        for quantity in get_args(Quantity):
            row[quantity] = _estimate(stream_estimate(quantity, hits[name]))
        out.append(
            {**row, "against": beside(name, reference), "over_control": beside(name, control)}
        )
    return out


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _path(fits: Mapping[str, list[StreamFit]]) -> list[dict[str, Any]]:
    """Learners that differ in LwF's weight alone, in its order."""
    alike = {
        name: each[0].options
        for name, each in fits.items()
        if "generator-pool" in each[0].options["learner"]
    }
    found = [(float(options.get("logits", 0.0)), name) for name, options in alike.items()]
    return (
        [{"weight": weight, "learner": name} for weight, name in sorted(found)]
        if len(found) > 1
        else []
    )


def _notes(config: ContinualConfig) -> list[str]:
    if config.task.held_out is None:
        return []
    return [
        f"Judged on {config.task.held_out:.0%} of the training samples, held out; the test part was"
        " not touched."
    ]
