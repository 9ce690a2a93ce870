"""A study in TensorBoard or Weights & Biases while it works: losses and validation scores of every
fit, and the finished table.

What is shown is read from the run folder, where other workers write too, so it decides nothing of
what comes out. ``tracking.json`` in the run folder says how far each fit was shown: a study that is
taken up goes on in the same runs, and one that was begun without a tracker is shown from its start.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from matboard.errors import RunError
from matboard.extras import require
from matboard.report import continual_table_rows, transfer_table_rows
from matboard.results import StreamResults, StudyPlan, TransferResults, read
from matboard.runs import LOG, Run, write_atomically
from matboard.studies.progress import Progress
from matboard.studies.trackers import TRACKERS

STATE = "tracking.json"
RESULTS = "results"
"""What the run is called that holds the finished table."""
LOOK = 2.0
"""Seconds between two looks at the fits' logs (guess)."""


def tracked(
    events: Generator[Progress, None, None], out: Path, names: Sequence[str]
) -> Iterator[Progress]:
    """A study's progress, while trackers are shown what it writes.

    Args:
        events: the study.
        out: its run folder.
        names: of the trackers; without any nothing is done.

    Raises:
        MissingExtra: a tracker's library is not installed.
        ConfigError: a tracker does not take runs as it is set up here.
    """
    for name in names:
        require(name)
    with closing(_Shown(out, names)) as shown, closing(events):
        looked = -math.inf
        for event in events:
            if names and time.monotonic() - looked > LOOK:
                shown.look()
                looked = time.monotonic()
            yield event


class _Shown:
    """What trackers were shown of a study: tracker → fit → the last step, and for the finished
    table what it was made from.
    """

    def __init__(self, out: Path, names: Sequence[str]) -> None:
        self._run = Run(out)
        self._trackers = {name: TRACKERS[name](out) for name in names}
        self._state: dict[str, dict[str, Any]] = {"upto": {}, "ids": {}, "table": {}}
        # none yet, or damaged: shown from the start
        with suppress(OSError, ValueError, TypeError):
            self._state |= dict(json.loads((out / STATE).read_text(encoding="utf-8")))
        self._written = self._text
        self._sizes: dict[str, int] = {}
        self._ended: set[str] = set()

    def look(self) -> None:
        """Show what is new."""
        for fit, run in self._fits():
            self._show(fit, run)
        if self._run.finished:
            self._show_table()
        if self._text != self._written:
            write_atomically(self._run.path(STATE), self._text.encode())
            self._written = self._text

    def close(self) -> None:
        """Show what is left, and end."""
        try:
            if self._trackers:
                self.look()
        finally:
            for tracker in self._trackers.values():
                tracker.close()

    @property
    def _text(self) -> str:
        return json.dumps(self._state, indent=1)

    def _fits(self) -> Iterator[tuple[str, Run]]:
        """Those of the study's plan that something may be new of."""
        try:
            plan = read(self._run.path("plan.json"))
        except RunError:
            return
        assert isinstance(plan, StudyPlan)
        for fit in plan.fits:
            run = Run(self._run.path(fit.folder))
            log = run.path(LOG)
            size = log.stat().st_size if log.exists() else 0
            ended = run.finished and fit.name not in self._ended
            if ended or size != self._sizes.get(fit.name, 0):
                self._sizes[fit.name] = size
                yield fit.name, run

    def _show(self, fit: str, run: Run) -> None:
        ended = run.finished
        rows = run.metrics()
        for name, tracker in self._trackers.items():
            upto = self._state["upto"].setdefault(name, {})
            new = [row for row in rows if row.get("step", 0) > upto.get(fit, 0)]
            if new:
                tracker.begin(fit, self._id(fit), run.config())
            for row in new:
                tracker.show(fit, row["step"], dict(quantities(row)))
                upto[fit] = row["step"]
            if ended:
                tracker.end(fit)
        if ended:
            self._ended.add(fit)

    def _show_table(self) -> None:
        results = read(self._run.folder)
        assert isinstance(results, TransferResults | StreamResults)
        for name, tracker in self._trackers.items():
            if self._state["table"].get(name) != results.made_from:
                tracker.begin(RESULTS, self._id(RESULTS), self._run.config())
                tracker.table(RESULTS, _rows(results), dict(_values(results)))
                tracker.end(RESULTS)
                self._state["table"][name] = results.made_from

    def _id(self, fit: str) -> str:
        """What a tracker that keeps many people's runs together calls it."""
        found = self._state["ids"].setdefault(fit, secrets.token_hex(8))
        return str(found)


def quantities(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Name → number of everything that a line of a log measures; ``losses/task_loss``."""
    for key, value in row.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from quantities(value, f"{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield name, float(value)


def _rows(results: TransferResults | StreamResults) -> list[dict[str, object]]:
    if isinstance(results, TransferResults):
        return transfer_table_rows(results)
    return continual_table_rows(results)


def _values(results: TransferResults | StreamResults) -> Iterator[tuple[str, float]]:
    """The finished cells; name → value."""
    if isinstance(results, StreamResults):
        for one in results.summary:
            for quantity in ("accuracy", "forgetting"):
                value = getattr(one, quantity).value
                if value is not None:
                    yield f"{quantity}/{one.learner}", value
        return
    for cell in results.cells:
        if cell.value is not None:
            by = "" if cell.scorer == "ranking" else f" by {cell.scorer}"
            name = f"{cell.metric}{by}/{cell.task}/{cell.model}/{cell.condition}"
            yield name, cell.value
