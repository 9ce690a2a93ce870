"""TensorBoard and Weights & Biases, each through its own library, loaded when it is first used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matboard import settings
from matboard.errors import ConfigError, first_line
from matboard.extras import needed
from matboard.report.rows import Row


class Tracker(ABC):
    """Where runs are shown: one a fit, and one for the finished table.

    Args:
        out: the study's run folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out

    @abstractmethod
    def begin(self, name: str, id: str, config: Mapping[str, Any]) -> None:
        """Begin a run, or go on with it; nothing where it is under way.

        Args:
            id: the same whenever the same run goes on.
            config: what it was asked for.
        """

    @abstractmethod
    def show(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Show what a run measured in a step."""

    @abstractmethod
    def table(
        self, name: str, rows: Sequence[Row], values: Mapping[str, float]
    ) -> None:
        """Show a finished table, whole and value by value."""

    @abstractmethod
    def end(self, name: str) -> None:
        """A run is finished, or not under way."""

    @abstractmethod
    def close(self) -> None:
        """End whatever is under way; it may go on later."""


class TensorBoard(Tracker):
    """Event files in the run folder's ``tensorboard``: ``tensorboard --logdir RUN/tensorboard``."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        with needed():
            from torch.utils.tensorboard import SummaryWriter
        self._make = SummaryWriter
        self._writers: dict[str, Any] = {}

    def begin(self, name: str, id: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.begin`; its folder is the run's name."""
        if name not in self._writers:
            folder = self.out / "tensorboard" / name
            self._writers[name] = self._make(str(folder))

    def show(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.show`."""
        for quantity, value in values.items():
            self._writers[name].add_scalar(quantity, value, step)

    def table(
        self, name: str, rows: Sequence[Row], values: Mapping[str, float]
    ) -> None:
        """See `Tracker.table`; value by value alone."""
        self.show(name, 0, values)

    def end(self, name: str) -> None:
        """See `Tracker.end`."""
        if name in self._writers:
            self._writers.pop(name).close()

    def close(self) -> None:
        """See `Tracker.close`."""
        for name in list(self._writers):
            self.end(name)


class WandB(Tracker):
    """Runs of a project of Weights & Biases, grouped by the run folder's name. Its own environment
    says where they go: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE=offline, WANDB_API_KEY.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        with needed():
            import wandb
        self._wandb = wandb
        self._runs: dict[str, Any] = {}
        self._quiet = wandb.Settings(silent=True, console="off")
        self._check()

    def begin(self, name: str, id: str, config: Mapping[str, Any]) -> None:
        """See `Tracker.begin`. Raises ConfigError."""
        if name in self._runs:
            return
        try:
            self._runs[name] = self._wandb.init(
                project=settings.wandb_project(),
                group=self.out.resolve().name,
                name=name,
                id=id,
                config=dict(config),
                dir=str(self.out),
                resume="allow",
                reinit="create_new",
                settings=self._quiet,
            )
        except self._wandb.Error as error:
            raise ConfigError(_refused(first_line(error))) from error

    def show(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker.show`."""
        self._runs[name].log(dict(values), step=step)

    def table(
        self, name: str, rows: Sequence[Row], values: Mapping[str, float]
    ) -> None:
        """See `Tracker.table`."""
        columns = list(rows[0]) if rows else []
        data = [[_plain(row[column]) for column in columns] for row in rows]
        run = self._runs[name]
        run.log({"table": self._wandb.Table(columns=columns, data=data)})
        run.summary.update(dict(values))

    def end(self, name: str) -> None:
        """See `Tracker.end`."""
        if name in self._runs:
            self._runs.pop(name).finish()

    def close(self) -> None:
        """See `Tracker.close`."""
        for name in list(self._runs):
            self.end(name)
        if self._wandb.run is None:
            self._wandb.teardown()  # else a run that goes on in this process is lost

    def _check(self) -> None:
        """See, before anything is learned, that runs will be taken. Raises ConfigError."""
        try:
            asked = self._wandb.setup(self._quiet).settings.mode
            if asked == "online" and not self._wandb.login(prompt=False):
                raise ConfigError(_refused("nobody is logged in"))
        except (self._wandb.Error, ValueError) as error:
            raise ConfigError(_refused(first_line(error))) from error


def _refused(why: str) -> str:
    return (
        f"Weights & Biases begins no run: {why}. Run: wandb login, or set WANDB_MODE=offline, or"
        " leave wandb out of tracking; then give the same command again."
    )


def _plain(value: object) -> object:
    """Lists and mappings as text: a table's column has one type."""
    return str(value) if isinstance(value, list | dict) else value


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""Name in a configuration, which is also the library's → how it is used."""
