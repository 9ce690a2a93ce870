"""What `load_task` is asked for; the one argument of whatever builds a registered task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from matboard.errors import TaskError
from matboard.tasks.task import Task, check_limits


@dataclass(frozen=True)
class Request:
    """A task by name.

    Attributes:
        name: as registered; one builder may serve several.
        train, test: at most so many samples of each part; what is drawn from a seed draws as many.
            A builder may give more, they are drawn from.
        seed: decides what is drawn by lot.
        data_dir: where local data sets lie; None where nobody said.

    Raises:
        TaskError: fewer than one sample of a part, or a negative seed.
    """

    name: str
    train: int | None = None
    test: int | None = None
    seed: int = 0
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        check_limits(self.name, self.train, self.test)
        if self.seed < 0:
            raise TaskError(
                f"The seed of task {self.name!r} is {self.seed}; give 0 or more."
            )


Builder: TypeAlias = Callable[[Request], Task]
"""What an entry of ``TASKS`` is."""
