"""What is learned from: pictures, questions, answers, and how answers are scored."""

from __future__ import annotations

from pathlib import Path

from matboard import settings
from matboard.errors import TaskError, UnknownName
from matboard.registry import Registry
from matboard.tasks import scenes
from matboard.tasks.readers import read
from matboard.tasks.rows import drop_unreadable
from matboard.tasks.task import Metric, Sample, Skipped, Task, balanced_indices

__all__ = [
    "TASKS",
    "Metric",
    "Sample",
    "Skipped",
    "Task",
    "balanced_indices",
    "drop_unreadable",
    "load_task",
    "read",
]

TASKS = Registry(
    "task",
    {
        "cifar10": "matboard.tasks.datasets.cifar10:CIFAR10",
        "cifar100": "matboard.tasks.datasets.cifar100:CIFAR100",
        "imagenette": "matboard.tasks.datasets.imagenette:IMAGENETTE",
        **dict.fromkeys((*scenes.NAMES, *scenes.STREAM_NAMES), "matboard.tasks.scenes:build"),
    },
)


def load_task(
    source: str | Path,
    *,
    data_dir: str | Path | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> Task:
    """A task by name, or from a folder or file.

    Args:
        source: a name of ``TASKS``; a folder of class folders, or of ``train/`` and ``test/``
            holding them; a JSONL, npz or parquet file. A name wins over a folder of the same name
            (write ``./cifar10`` for the folder).
        data_dir: where to look for a named data set's files before the Hub is asked; by default
            `settings.data_dir`.
        train, test: at most so many samples of each part, balanced, without replacement; for
            scenes, how many are drawn.
        seed: decides which, and the split of a set that has no test part.

    Raises:
        UnknownName: no such task.
        TaskError: the data is not there, or not a task; see the readers.
    """
    name, path = str(source), Path(source)
    if name in (*scenes.NAMES, *scenes.STREAM_NAMES):
        kind, _, shift = name.removeprefix("scenes-").partition("/")
        sizes = {
            part: count for part, count in (("train", train), ("test", test)) if count is not None
        }
        return scenes.build(kind, shift or None, seed=seed, **sizes)
    if name in TASKS:
        folder = settings.data_dir() if data_dir is None else Path(data_dir)
        task: Task = TASKS.load(name).load(folder)
        return task.limited(train, test, seed)
    if path.exists():
        return drop_unreadable(read(path, seed=seed).limited(train, test, seed))
    if path.suffix or path.is_absolute() or name.startswith("."):
        raise TaskError(
            f"There is no folder or file {name}, and no task of that name. Tasks by name:"
            f" {', '.join(TASKS)}."
        )
    raise UnknownName("task", name, TASKS)
