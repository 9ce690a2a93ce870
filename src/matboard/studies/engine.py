"""The engine of every study: units of work, each at the address of its content, and who does them.

A *unit* is a fit or a piece of judging. What it yields depends on its content alone, so it is done
once, wherever it is asked for: again in the same run, in another study that shares the store, or
by another process. Whoever works off a study's units goes through them in order and takes those
that are neither finished nor taken:

* `Together`, the default: a lease a unit says that it is taken, see `leases`. Start ``matboard
  work`` on the run folder in another terminal, or on another machine that sees it, and both share
  the work. A process that ends, however it ends, gives back what it held.
* `InStep`: every process does every unit at the same time, for processes that share each batch
  (torchrun).
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from matboard.disk import look_again
from matboard.errors import RunError
from matboard.results import PlannedFit, StudyPlan
from matboard.runs import STORE, Checkpoint, Run, address, write_atomically
from matboard.studies.leases import LEASE, WAIT, Leases
from matboard.studies.progress import Progress

LOCKS = ".locks"
"""The folder of leases, in a store and in a run folder."""


class Unit(ABC):
    """A piece of work that is done or not.

    Attributes:
        name: what people read.
        address: of everything that decides what it yields.
    """

    name: str
    address: str

    @property
    @abstractmethod
    def folders(self) -> Iterator[Path]:
        """Where it lies whether it is finished, the outermost folder first."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether what it yields is there."""

    @abstractmethod
    def work(self) -> Generator[Progress, None, None]:
        """Do it, or go on where it was left."""


class Executor(ABC):
    """Who works off units."""

    @abstractmethod
    def run(self, units: Sequence[Unit]) -> Iterator[Progress]:
        """Until all of them are finished."""


class InStep(Executor):
    """One unit after the other, without asking who else is there."""

    def run(self, units: Sequence[Unit]) -> Iterator[Progress]:
        """See `Executor.run`."""
        for unit in units:
            if not unit.finished:
                yield from unit.work()


class Together(Executor):
    """Units shared with whoever else works in the same store.

    Args:
        store: the folder that holds what units yield, and their leases.
        seconds: after which a lease that is not touched counts as given back.
    """

    def __init__(self, store: Path, seconds: float = LEASE) -> None:
        self._leases = Leases(store / LOCKS, seconds)

    def run(self, units: Sequence[Unit]) -> Generator[Progress, None, None]:
        """See `Executor.run`."""
        waiting = list(units)
        while waiting:
            left = []
            for unit in waiting:
                if not unit.finished and not (yield from self._done(unit)):
                    left.append(unit)
            waiting = left
            if waiting:
                names = ", ".join(unit.name for unit in waiting[:3])
                done = len(units) - len(waiting)
                yield Progress("wait for other workers", done, len(units), names)
                time.sleep(WAIT)

    def _done(self, unit: Unit) -> Generator[Progress, None, bool]:
        """Work on a unit; False where another worker has it, or has taken it meanwhile."""
        lease = self._leases.take(unit.address)
        if lease is None:
            return False
        try:
            _look_again(unit)
            if unit.finished:
                return True
            # A worker that is interrupted keeps what it has before it gives back the lease.
            with closing(unit.work()) as work:
                for event in work:
                    yield event
                    if lease.compromise is not None:
                        return False
        finally:
            lease.release()
        return True


def _look_again(unit: Unit) -> None:
    try:
        for folder in unit.folders:
            look_again(folder)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"{error.filename} cannot be written ({reason}).") from error


class FitUnit(Unit):
    """A fit with a run folder of its own, ``fits/NAME-ADDRESS`` in the store.

    Args:
        store: the folder that holds ``fits``.
        variant: the study's name for how it learns; with the seed its own, ``tvp-s0``.
        content: everything that decides what it yields, as JSON values.
        machine: for `Run.open`.
        writes: whether this process keeps the run folder; others only read it.
    """

    def __init__(
        self,
        store: Path,
        variant: str,
        seed: int,
        content: Mapping[str, Any],
        machine: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        self.name = f"{variant}-s{seed}"
        self.seed = seed
        self.writes = writes
        self.content = json.loads(json.dumps(content))
        self.address = address(self.content)
        self._fits = store / "fits"
        self._machine = machine

    @property
    def run(self) -> Run:
        """Its run folder, which another study may have begun under another name."""
        own = self._fits / f"{self.name}-{self.address}"
        if own.exists():
            return Run(own)
        found = sorted(self._fits.glob(f"*-{self.address}"))
        return Run(found[0] if found else own)

    @property
    def folders(self) -> Iterator[Path]:
        """See `Unit.folders`."""
        yield self._fits
        yield self.run.folder

    @property
    def finished(self) -> bool:
        """Whether its results are there."""
        return self.run.finished

    def work(self) -> Generator[Progress, None, None]:
        """Open its run folder and learn from its last checkpoint on."""
        if not self.writes:
            run = self.run
            yield from self.learn(run, run.checkpoint())
            return
        run = Run.open(self.run.folder, self.content, self._machine)
        yield from self.learn(run, run.resume())

    @property
    @abstractmethod
    def planned(self) -> PlannedFit:
        """What a study's plan says of it, its folder aside."""

    @abstractmethod
    def learn(self, run: Run, checkpoint: Checkpoint | None) -> Iterator[Progress]:
        """Learn, log, keep checkpoints, and write the results last."""


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """While other processes that work on the same study wait: for what only one may write."""
    with Leases(run.path(LOCKS)).wait("study"):
        yield


def found(units: Sequence[FitUnit]) -> Iterator[Progress]:
    """Say which fits need no work."""
    for unit in units:
        if unit.finished:
            yield Progress(f"learn {unit.name}", 1, 1, "found")


def already_made(run: Run, made_from: str) -> bool:
    """Whether a study's results are there and were made from the same content."""
    if not run.finished:
        return False
    try:
        return run.results().get("made_from") == made_from
    except RunError:
        return False


def write_plan(
    run: Run,
    study: Literal["transfer", "stream"],
    units: Sequence[FitUnit],
    tasks: int = 1,
) -> None:
    """Write down which fits belong to a study and where they lie, for whoever looks at it before
    it is finished. Units of one content share the folder that the first of them makes.
    """
    fits = []
    folders: dict[str, str] = {}
    for unit in units:
        own = relative(unit.run.folder, run)
        folder = folders.setdefault(unit.address, own)
        fits.append(unit.planned.model_copy(update={"folder": folder}))
    content = StudyPlan(study=study, tasks=tasks, fits=tuple(fits)).as_json()
    write_atomically(run.path("plan.json"), json.dumps(content, indent=1).encode())


def begun(out: Path, asked: Mapping[str, Any], store: Path) -> Run:
    """A study's run folder, opened, where whoever joins finds its store. Raises like `Run.open`."""
    place = os.path.relpath(store.resolve(), out.resolve())
    return Run.open(out, asked, {STORE: Path(place).as_posix()})


def relative(folder: Path, run: Run) -> str:
    """Where a folder of the store lies, seen from the study's."""
    return Path(os.path.relpath(folder, run.folder)).as_posix()


def merge_logs(run: Run, units: Sequence[FitUnit]) -> None:
    """Write the fits' logged lines into the study's, each with what this study calls its fit."""
    lines = []
    for unit in units:
        rows = unit.run.metrics()
        lines += [json.dumps({"run": unit.name, **row}) + "\n" for row in rows]
    write_atomically(run.path("metrics.jsonl"), "".join(lines).encode())


def session_notes(units: Sequence[FitUnit]) -> list[str]:
    """A sentence for each fit that was taken up in another environment than it was begun in."""
    notes = []
    for unit in units:
        sessions = unit.run.environment().get("sessions", [])
        if sessions:
            changed = sorted({key for session in sessions for key in session})
            notes.append(
                f"{unit.name} was interrupted and went on in another environment"
                f" ({', '.join(changed)} differ): its last digits may differ from those of a fit"
                " that was not interrupted."
            )
    return notes
