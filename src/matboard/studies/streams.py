"""Learners over a stream of tasks: from a configuration to a run folder.

Every (learner, seed) is a fit of its own, kept after each task: a run that was killed goes on at
the task it was learning, and reaches the matrix it would have reached. A fit that is finished is
not made again, nor are pictures encoded for it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from matboard import zoo
from matboard.continual.eye import FrozenEye
from matboard.models.devices import device_of
from matboard.runs import Run, address
from matboard.studies.config import BackboneConfig, ContinualConfig
from matboard.studies.engine import (
    Together,
    alone,
    already_made,
    begun,
    found,
    merge_logs,
    write_plan,
)
from matboard.studies.loading import load
from matboard.studies.on_ray import on_ray
from matboard.studies.progress import Progress
from matboard.studies.stream_fit import StreamFit
from matboard.studies.stream_results import StreamPlan, stream_results
from matboard.studies.tracking import tracked
from matboard.studies.variants import learner_variants
from matboard.tasks.stream import TaskStream, class_incremental, domain_incremental
from matboard.tasks.task import Task


@dataclass
class Backbone:
    """The frozen backbone of a study, loaded when it is first needed."""

    config: BackboneConfig
    batch_size: int
    device: torch.device

    @cached_property
    def eye(self) -> FrozenEye:
        """The backbone and what it keeps of pictures."""
        backbone = zoo.load_backbone(
            self.config.model,
            side=self.config.side,
            dtype=getattr(torch, self.config.precision),
            device=str(self.device),
            pixels=self.config.pixels,
        )
        return FrozenEye(backbone, batch_size=self.batch_size)


def continual(
    config: ContinualConfig,
    out: Path,
    *,
    store: Path | None = None,
    device: str | None = None,
) -> Iterator[Progress]:
    """Run every learner with every seed over its stream, compare them, write the run folder.

    Args:
        out: the run folder; created, or taken up where it was left.
        store: where fits lie, to be found by other studies too; by default ``out``.
        device: where the backbone runs; a GPU where there is one, if None.

    Raises:
        InputError: before anything heavy starts, whatever in the configuration cannot be had.
    """
    work = _continual(config, out, store or out, device)
    yield from tracked(work, out, config.tracking)


def _continual(
    config: ContinualConfig, out: Path, place: Path, device: str | None
) -> Generator[Progress, None, None]:
    started = time.perf_counter()
    backbone = Backbone(config.backbone, config.batch_size, device_of(device))
    plan = _plan(config, place, backbone)
    unfinished = [fit for fit in plan.fits if not fit.finished]
    if not unfinished and already_made(Run(out), plan.made_from):
        yield Progress("fits", len(plan.fits), len(plan.fits), "all found")
        return
    for fit in {fit.variant.name: fit for fit in unfinished}.values():
        fit.build(backbone.eye)  # what cannot be built is known before it is learned
    run = begun(out, config.asked, place)
    yield from found(plan.fits)
    write_plan(run, "stream", plan.fits, tasks=len(plan.stream.tasks))
    if config.executor.name == "ray":
        yield from on_ray(run, plan.fits, config.executor, plan.made_from)
        return
    if unfinished:
        yield from _encode(backbone.eye, unfinished)
    yield from Together(place).run(plan.fits)
    for fit in plan.fits:
        fit.restore()
    with alone(run):
        if already_made(run, plan.made_from):
            return
        merge_logs(run, plan.fits)
        spent = time.perf_counter() - started
        results = stream_results(config, plan, run, backbone.eye.backbone, spent)
        run.write_results(results.as_json())


def stream_fits(config: ContinualConfig, place: Path) -> list[StreamFit]:
    """A study's fits as they lie in its store, to be read; no model is loaded. Raises like
    `continual`.
    """
    backbone = Backbone(config.backbone, config.batch_size, device_of())
    return list(_plan(config, place, backbone).fits)


def _plan(config: ContinualConfig, place: Path, backbone: Backbone) -> StreamPlan:
    """Everything that will be done; whatever cannot be had is refused here."""
    variants = learner_variants(config)
    tasks = _tasks(config)
    streams = {seed: _stream(config, tasks, seed) for seed in config.seeds}
    data = {
        "backbone": config.backbone.model_dump(mode="json"),
        "batch_size": config.batch_size,
        "stream": config.stream.model_dump(mode="json"),
        "tasks": [[task.name, task.fingerprint] for task in tasks],
    }
    fits = []
    for variant in variants:
        for seed, stream in streams.items():
            fit = StreamFit(
                place, variant, seed, stream=stream, data=data, eye=lambda: backbone.eye
            )
            fits.append(fit)
    content = [config.asked, [fit.address for fit in fits]]
    return StreamPlan(variants, fits, streams[config.seeds[0]], address(content))


def _tasks(config: ContinualConfig) -> list[Task]:
    domains = config.stream.domains
    if not domains:
        return [load(config.task)]
    return [load(config.task.model_copy(update={"name": name})) for name in domains]


def _stream(config: ContinualConfig, tasks: Sequence[Task], seed: int) -> TaskStream:
    if config.stream.kind == "domain-incremental":
        return domain_incremental(tasks)
    order = seed if config.stream.order == "seeded" else None
    return class_incremental(tasks[0], config.stream.tasks, order)


def _encode(eye: FrozenEye, fits: Sequence[StreamFit]) -> Iterator[Progress]:
    """Encode every picture once for the fits that still need them, whatever the order of the
    classes.
    """
    samples = [
        sample for task in fits[0].stream.tasks for sample in (*task.train, *task.test)
    ]
    layers = {int(fit.variant.options.get("layer", 0)) for fit in fits}
    for layer in sorted(layers - {0}) or [0]:
        stage = f"encode pictures, blocks 0–{layer - 1}" if layer else "encode pictures"
        for done in eye.prepare(samples, layer):
            yield Progress(stage, done, len(samples))
