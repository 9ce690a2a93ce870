"""A study's units on a Ray cluster: each of its workers does what ``matboard work RUN`` does.

The cluster's address comes from Ray's own environment (RAY_ADDRESS, or the cluster of this
machine). Ray places workers where the CPUs and GPUs are that each asks for, and starts a worker
again that is lost, with its machine or without; its unit meanwhile goes to another worker, see
`leases`. What is learned goes through the run folder, so all machines must see it (and the store)
under the same path, as Ray's own libraries ask of their storage.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from matboard.errors import MatboardError, RunError, first_line
from matboard.extras import require
from matboard.runs import Run
from matboard.studies.engine import FitUnit, already_made
from matboard.studies.executor import ExecutorConfig
from matboard.studies.progress import Progress

RETRIES = 20
"""How often Ray starts a worker again that was lost (guess: machines that may be taken away at any
time are; a unit that kills every worker ends the study after so many).
"""
LOOK = 1.0
"""Seconds between two looks at how far the workers are (guess)."""


def on_ray(
    run: Run, units: Sequence[FitUnit], asked: ExecutorConfig, made_from: str
) -> Iterator[Progress]:
    """Let a cluster finish a study that is begun in a run folder.

    Args:
        units: its fits; what is judged, the workers find out.
        made_from: what its results will say that they were made from.

    Raises:
        MissingExtra: Ray is not installed.
        RunError: there is no cluster, or its workers could not finish the study.
    """
    require("ray")
    import ray

    ours = not ray.is_initialized()
    if ours:
        yield Progress("join the Ray cluster", 0, 1)  # Ray tries an address for minutes
        _join(ray)
    workers = _start(ray, run, asked, min(asked.workers or len(units), len(units)))
    try:
        trouble = yield from _watch(ray, workers, run, units, made_from)
    finally:
        for worker in workers:
            ray.cancel(worker)
        if ours:
            ray.shutdown()
    if not already_made(run, made_from):
        raise RunError(
            f"The cluster's workers ended before the study in {run.folder} was finished. Give the"
            f" same command again to go on. The first of them: {trouble}"
        )


def _join(ray: Any) -> None:
    """Enter the cluster that Ray's environment names, or that runs here. Raises RunError."""
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = first_line(error).partition(". ")[0]
        raise RunError(
            f"No Ray cluster was found ({why}). Set RAY_ADDRESS to one, or start one here with: ray"
            " start --head"
        ) from error


def _start(ray: Any, run: Run, asked: ExecutorConfig, count: int) -> list[Any]:
    """Ask for workers; Ray starts each as soon as there is room for it."""
    gpus = asked.gpus
    if gpus is None:
        gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0))
    worker = ray.remote(
        num_cpus=asked.cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=1
    )(take_part)
    folder = str(run.folder.resolve())
    return [worker.remote(folder, str(Path.cwd())) for _ in range(max(1, count))]


def take_part(folder: str, start: str) -> str | None:
    """What a worker does.

    Args:
        folder: the run folder.
        start: where the study was started, from where relative paths count.

    Returns:
        Where its input was wrong, a sentence that says where and how.
    """
    from matboard.studies.work import work

    if Path(start).is_dir():
        os.chdir(start)
    try:
        for _ in work(Path(folder)):
            pass
    except MatboardError as error:
        return f"{socket.gethostname()}: {error}"
    return None


def _watch(
    ray: Any,
    workers: Sequence[Any],
    run: Run,
    units: Sequence[FitUnit],
    made_from: str,
) -> Generator[Progress, None, str]:
    """Until the study is finished or no worker is left; what the first failing worker said."""
    waiting = list(workers)
    trouble = ""
    while waiting and not already_made(run, made_from):
        ended, waiting = ray.wait(waiting, timeout=LOOK)
        for worker in ended:
            trouble = trouble or _said(ray, worker)
        yield _progress(units, f"{len(waiting)} workers asked for")
    return trouble


def _said(ray: Any, worker: Any) -> str:
    """What went wrong with a worker that ended; empty where nothing did."""
    try:
        return ray.get(worker) or ""
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return f"{type(cause).__name__}: {first_line(cause)}."


def _progress(units: Sequence[FitUnit], detail: str) -> Progress:
    done = sum(unit.run.finished for unit in units)
    if done < len(units):
        return Progress("learn", done, len(units), detail)
    return Progress("judge", 0, 1, detail)
