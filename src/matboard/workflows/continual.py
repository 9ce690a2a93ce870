"""Learners over a stream of tasks: from a configuration to a run folder.

Every (learner, seed) is a fit of its own, kept after each task: a run that was killed goes on at the task it was learning, and reaches
the matrix it would have reached.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from matboard import zoo
from matboard.analysis.selection import selection
from matboard.continual.build import CONTROLS, build_learner, options_of, resolve
from matboard.continual.eye import FrozenEye
from matboard.continual.learner import Learner, LearnStep
from matboard.continual.protocol import Row, choices, run_stream
from matboard.metrics import AccuracyMatrix, Estimate, StreamHits, stream_difference, stream_estimate
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.metrics.streams import Quantity
from matboard.runs import Checkpoint, Run, write_atomically
from matboard.tasks import load_task
from matboard.tasks.stream import TaskStream, class_incremental, domain_incremental
from matboard.tasks.task import Task
from matboard.workflows.config import ContinualConfig, TaskConfig
from matboard.workflows.progress import Progress


def continual(config: ContinualConfig, out: Path, *, data_dir: Path | None = None, cache: Path | None = None) -> Iterator[Progress]:
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
    eye = _eye(config, cache)
    _try_out(options, eye, streams[config.seeds[0]])
    yield from _prepare(eye, streams[config.seeds[0]], options, config)
    fits: dict[str, list[_Fit]] = {name: [] for name in options}
    for name, asked in options.items():
        for seed in config.seeds:
            fit = _Fit(run, name, seed, streams[seed], asked)
            yield from fit.learn(eye)
            fits[name].append(fit)
    results = {**_results(config, fits, streams[config.seeds[0]], eye), "seconds": round(time.perf_counter() - started, 1)}
    lines = [{"run": f.key, **row} for each in fits.values() for f in each for row in f.child.metrics()]
    write_atomically(run.path("metrics.jsonl"), "".join(json.dumps(line) + "\n" for line in lines).encode())
    run.write_results(results)


def learner_options(config: ContinualConfig, name: str) -> dict[str, Any]:
    """What a learner of the table is: ``learner`` and its options, with the study's training laid under them. Raises ConfigError."""
    asked = dict(config.learners[name])
    kind = str(asked.pop("learner", name))
    known = options_of(kind)
    common = {key: value for key, value in config.training.items() if key in known} if "epochs" in known else {}
    return {"learner": kind, **resolve(kind, {**common, **asked})}


def _stream(config: ContinualConfig, seed: int, data_dir: Path | None) -> TaskStream:
    if config.stream.kind == "domain-incremental":
        return domain_incremental([_task(config.task.model_copy(update={"name": name}), data_dir) for name in config.stream.domains])
    order = seed if config.stream.order == "seeded" else None
    return class_incremental(_task(config.task, data_dir), config.stream.tasks, order)


def _task(config: TaskConfig, data_dir: Path | None) -> Task:
    task = load_task(config.name, data_dir=data_dir, train=config.train, test=config.test, seed=config.seed)
    return task if config.held_out is None else task.validation_split(config.held_out, config.seed)[1]


def _eye(config: ContinualConfig, cache: Path | None) -> FrozenEye:
    asked = config.backbone
    dtype, device = getattr(torch, asked.precision), "cuda" if torch.cuda.is_available() else "cpu"
    backbone = zoo.load_backbone(asked.model, cache=cache, side=asked.side, dtype=dtype, device=device, pixels=asked.pixels)
    return FrozenEye(backbone, batch_size=config.batch_size)


def _try_out(options: Mapping[str, Mapping[str, Any]], eye: FrozenEye, stream: TaskStream) -> None:
    """Build each learner once, so that what cannot be built is known before anything is learned."""
    for asked in options.values():
        _build(asked, eye, stream, 0)


def _build(asked: Mapping[str, Any], eye: FrozenEye, stream: TaskStream, seed: int) -> Learner:
    own = {key: value for key, value in asked.items() if key != "learner"}
    return build_learner(asked["learner"], eye, len(stream.classes), seed=seed, **own)


def _prepare(eye: FrozenEye, stream: TaskStream, options: Mapping[str, Mapping[str, Any]], config: ContinualConfig) -> Iterator[Progress]:
    """Encode every picture once, whatever the order of the classes."""
    samples = [s for t in stream.tasks for s in (*t.train, *t.test)]
    layers = {int(asked.get("layer", 0)) for asked in options.values()}
    for layer in sorted(layers - {0}) or [0]:
        stage = "encode pictures" if layer == 0 else f"encode pictures, blocks 0–{layer - 1}"
        for done in eye.prepare(samples, layer):
            yield Progress(stage, done, len(samples))


@dataclass
class _Fit:
    """One learner with one seed, over the whole stream."""

    run: Run
    name: str
    seed: int
    stream: TaskStream
    options: Mapping[str, Any]
    rows: list[list[float]] = field(default_factory=list)
    predictions: list[NDArray[np.int64]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0
    trainable: int = 0
    kept_bytes: int = 0
    flags: tuple[str, ...] = ()
    pictures: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.name}-s{self.seed}"

    @property
    def child(self) -> Run:
        return Run(self.run.path(f"fits/{self.key}"))

    @property
    def has_selection(self) -> bool:
        return self.run.path(f"selection/{self.key}.json").exists()

    def learn(self, eye: FrozenEye) -> Iterator[Progress]:
        """Go on from the last task that was finished."""
        child, stage, total = self.child, f"{self.name} (seed {self.seed})", len(self.stream.tasks)
        Run.open(child.folder, {"learner": dict(self.options), "name": self.name, "seed": self.seed, "stream": self.stream.name})
        learner = _build(self.options, eye, self.stream, self.seed)
        checkpoint = child.load_checkpoint()
        step = self._take_up(learner, checkpoint) if checkpoint else 0
        yield Progress(stage, len(self.rows), total, "resumed" if 0 < len(self.rows) < total else "")
        for event in run_stream(learner, self.stream, start=len(self.rows)):
            if isinstance(event, LearnStep):
                step += 1
                self.skipped += event.skipped
                child.log({"step": step, "task": len(self.rows) + 1, "loss": event.loss, **event.losses, "skipped": self.skipped})
                yield Progress(stage, len(self.rows), total, f"task {len(self.rows) + 1}, step {event.index}/{event.total}")
                continue
            self._note(event)
            child.save_checkpoint(self._checkpoint(learner, step))
            yield Progress(stage, len(self.rows), total, f"accuracy {np.nanmean(event.accuracies):.3f}")
        self._finish(learner)

    def hits(self) -> StreamHits:
        """What was right after each task, in the order of the test part, the same for every seed."""
        samples = [(s, t.index) for t in self.stream.tasks for s in t.test]
        place = {s.id: i for i, s in enumerate(sorted((s for s, _ in samples), key=lambda s: s.id))}
        hits = np.zeros((len(self.rows), len(samples)), dtype=bool)
        task = np.zeros(len(samples), dtype=np.int64)
        for position, (sample, index) in enumerate(samples):
            task[place[sample.id]] = index
            for stage in range(index, len(self.rows)):
                hits[stage, place[sample.id]] = self.predictions[stage][position] == sample.label
        return StreamHits(hits, task)

    def matrix(self) -> AccuracyMatrix:
        """The accuracy matrix."""
        return AccuracyMatrix(np.array(self.rows), [f"{t.index + 1}: {t.name}" for t in self.stream.tasks])

    def _note(self, row: Row) -> None:
        self.rows.append(row.accuracies.tolist())
        self.predictions.append(row.predictions)
        self.seconds += row.seconds

    def _checkpoint(self, learner: Learner, step: int) -> Checkpoint:
        state = {f"state.{name}": t.contiguous().numpy() for name, t in learner.state().items()}
        said = {f"predictions.{i}": p for i, p in enumerate(self.predictions)}
        rows = [[None if np.isnan(v) else v for v in row] for row in self.rows]
        return Checkpoint(step, {**state, **said}, {"rows": rows, "seconds": self.seconds, "skipped": self.skipped})

    def _take_up(self, learner: Learner, checkpoint: Checkpoint) -> int:
        state = {k.removeprefix("state."): torch.from_numpy(a) for k, a in checkpoint.arrays.items() if k.startswith("state.")}
        learner.load_state(state)
        self.rows = [[np.nan if v is None else v for v in row] for row in checkpoint.values["rows"]]
        self.predictions = [checkpoint.arrays[f"predictions.{i}"] for i in range(len(self.rows))]
        self.seconds = float(checkpoint.values["seconds"])
        self.skipped = int(checkpoint.values.get("skipped", 0))
        return checkpoint.step

    def _finish(self, learner: Learner) -> None:
        """What can be looked at: the matrix, which prompts were chosen, prompts as pictures."""
        self.trainable, self.flags = learner.trainable, learner.flags
        self.kept_bytes = sum(t.numel() * t.element_size() for t in learner.tensors().values())
        matrix = self.run.path(f"matrices/{self.key}.csv")
        matrix.parent.mkdir(parents=True, exist_ok=True)
        self.matrix().to_csv(matrix)
        chosen = None if self.has_selection else choices(learner, self.stream)
        if chosen is not None:
            found = selection(*chosen, self.stream.classes)
            write_atomically(self.run.path(f"selection/{self.key}.json"), json.dumps(found.as_json()).encode())
        for index, picture in enumerate([] if (made := learner.pictures()) is None else made):
            name = f"pictures/{self.key}/{index}.png"
            self.run.path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(self.run.path(name))
            self.pictures.append(name)


# -- results -------------------------------------------------------------------------------------------------------


def _results(config: ContinualConfig, fits: Mapping[str, list[_Fit]], stream: TaskStream, eye: FrozenEye) -> dict[str, Any]:
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
        "backbone": {"name": backbone.name, "dim": backbone.dim, "side": backbone.side, "layers": backbone.depth},
        "reference": reference,
        "control": control,
        "learners": [_described(name, each[0]) for name, each in fits.items()],
        "cells": [_cell(fit) for each in fits.values() for fit in each],
        "summary": _summary(fits, reference, control),
        "path": _path(fits),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "notes": _notes(config),
    }


def _described(name: str, fit: _Fit) -> dict[str, Any]:
    options = {key: value for key, value in fit.options.items() if key != "learner"}
    sizes = {"parameters": fit.trainable, "state_bytes": fit.kept_bytes}
    return {"name": name, "method": fit.options["learner"], "kind": _kind(fit), "options": options, "flags": list(fit.flags), **sizes}


def _kind(fit: _Fit) -> str:
    """``control``: no prompt is learned, be it that there is none or that it is left as it was drawn."""
    if fit.options["learner"] in CONTROLS or fit.options.get("adapt") == 0:
        return "control"
    return "baseline" if fit.options["learner"] == "fine-tune" else "prompt"


def _cell(fit: _Fit) -> dict[str, Any]:
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
        "matrix": f"matrices/{fit.key}.csv",
        "selection": f"selection/{fit.key}.json" if fit.has_selection else None,
        "pictures": fit.pictures,
        "tasks": [t.name for t in fit.stream.tasks],
    }


def _best_control(fits: Mapping[str, list[_Fit]]) -> str | None:
    """The control with the highest mean accuracy."""
    means = {name: np.mean([fit.matrix().average_accuracy() for fit in each]) for name, each in fits.items() if _kind(each[0]) == "control"}
    return max(means, key=lambda name: means[name], default=None)


def _summary(fits: Mapping[str, list[_Fit]], reference: str, control: str | None) -> list[dict[str, Any]]:
    hits = {name: [fit.hits() for fit in each] for name, each in fits.items()}

    def beside(name: str, other: str | None) -> dict[str, Any] | None:
        if other in (None, name):
            return None
        return {q: _estimate(stream_difference(q, hits[other], hits[name])) for q in ("accuracy", "forgetting")}

    out = []
    for name, each in fits.items():
        row: dict[str, Any] = {"learner": name, "seconds": round(float(np.mean([f.seconds for f in each])), 2)}
        for quantity in get_args(Quantity):
            row[quantity] = _estimate(stream_estimate(quantity, hits[name]))
        out.append({**row, "against": beside(name, reference), "over_control": beside(name, control)})
    return out


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _path(fits: Mapping[str, list[_Fit]]) -> list[dict[str, Any]]:
    """Learners that differ in LwF's weight alone, in its order."""
    alike = {name: each[0].options for name, each in fits.items() if "generator-pool" in each[0].options["learner"]}
    found = [(float(options.get("logits", 0.0)), name) for name, options in alike.items()]
    return [{"weight": weight, "learner": name} for weight, name in sorted(found)] if len(found) > 1 else []


def _notes(config: ContinualConfig) -> list[str]:
    if config.task.held_out is None:
        return []
    return [f"Judged on {config.task.held_out:.0%} of the training samples, held out; the test part was not touched."]
