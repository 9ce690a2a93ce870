"""What is learned from: pictures, questions, answers, and how answers are scored."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path

from matboard import settings
from matboard.errors import ConfigError, TaskError, UnknownName
from matboard.registry import Registry
from matboard.tasks import corruptions, described, scenes
from matboard.tasks.draws import balanced_indices
from matboard.tasks.readers import read
from matboard.tasks.request import Builder, Request
from matboard.tasks.task import Sample, Skipped, Task

__all__ = [
    "TASKS",
    "Builder",
    "Request",
    "Sample",
    "Skipped",
    "Task",
    "balanced_indices",
    "load_task",
    "read",
]

POPE = ("pope", "pope/random", "pope/popular", "pope/adversarial")
"""``pope`` alone is the adversarial one."""
TASKS = Registry(
    "task",
    {
        "aircraft": "matboard.tasks.datasets.aircraft:AIRCRAFT",
        "cifar10": "matboard.tasks.datasets.cifar10:CIFAR10",
        "cifar100": "matboard.tasks.datasets.cifar100:CIFAR100",
        "clevr-count": "matboard.tasks.datasets.clevr_count:build",
        "food101": "matboard.tasks.datasets.food101:FOOD101",
        "hateful-memes": "matboard.tasks.datasets.hateful_memes:build",
        "imagenette": "matboard.tasks.datasets.imagenette:IMAGENETTE",
        "pets": "matboard.tasks.datasets.pets:PETS",
        **dict.fromkeys(POPE, "matboard.tasks.datasets.pope:build"),
        "svhn": "matboard.tasks.datasets.svhn:SVHN",
        **dict.fromkeys(
            (*scenes.NAMES, *scenes.STREAM_NAMES), "matboard.tasks.scenes:requested"
        ),
    },
    group="matboard.tasks",
)


def load_task(
    source: str | Path,
    *,
    data_dir: str | Path | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    bases: MutableMapping[Request, Task] | None = None,
) -> Task:
    """A task by name, or from a folder or file.

    Args:
        source: a name of ``TASKS``; a folder of class folders, or of ``train/`` and ``test/``
            holding them; a JSONL, CSV, npz or parquet file; LLaVA's JSON of conversations; a YAML
            file that describes a task (`tasks.described`). A name wins over a folder of the same
            name (write ``./cifar10`` for the folder). With ``/KIND-SEVERITY`` behind it, its test
            part is corrupted (``cifar10/fog-3``; see ``tasks.corruptions``).
        data_dir: where to look for a named data set's files before the Hub is asked; by default
            `settings.data_dir`.
        train, test: at most so many samples of each part, balanced, without replacement; for
            scenes, how many are drawn.
        seed: decides which, and the split of a set that has no test part.
        bases: where tasks are kept that corrupted ones are made of, so that several of them read
            their pictures once.

    Raises:
        UnknownName: no such task.
        TaskError: the data is not there, or not a task; see the readers.
    """
    folder = Path(data_dir) if data_dir is not None else None
    request = Request(str(source), train, test, seed, folder)
    try:
        return _loaded(request, {} if bases is None else bases)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        place = error.filename or source
        raise TaskError(f"{place} cannot be read: {reason}.") from None


def _loaded(request: Request, bases: MutableMapping[Request, Task]) -> Task:
    name = request.name
    if name in TASKS:
        return _named(request)
    if name.strip() and os.path.exists(name):  # noqa: PTH110  Path.exists raises on odd names
        if Path(name).suffix in described.SUFFIXES:
            return described.described_task(Path(name), request)
        return read(
            Path(name), train=request.train, test=request.test, seed=request.seed
        )
    if (parts := corruptions.split_name(name)) is not None:
        plain, kind, severity = parts
        corruptions.check(kind, severity)
        base = replace(request, name=plain)
        if base not in bases:
            bases[base] = _loaded(base, bases)
        return corruptions.corrupted(bases[base], kind, severity)
    path = Path(name)
    if path.suffix or path.is_absolute() or name.startswith("."):
        raise TaskError(
            f"There is no folder or file {name}, and no task of that name. Tasks by name:"
            f" {', '.join(TASKS)}."
        )
    raise UnknownName("task", name, TASKS)


def _named(request: Request) -> Task:
    if request.data_dir is None:
        request = replace(request, data_dir=settings.data_dir())
    build: Builder = TASKS.load(request.name)
    task = build(request)
    if not isinstance(task, Task):
        raise ConfigError(
            f"The task {request.name!r} of the package {TASKS.package(request.name)} was built as a"
            f" {type(task).__name__}, not a Task. Update the package or uninstall it."
        )
    return task.limited(request.train, request.test, request.seed)
