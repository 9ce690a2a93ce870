"""Studies run to their end from Python, with bars in a terminal and in notebooks: what
``matboard fit`` and ``matboard continual`` do, and what they leave in a run folder, as objects.
"""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel
from transformers.utils import logging as transformers_logging

from matboard.errors import ConfigError
from matboard.metrics import AccuracyMatrix
from matboard.notebooks import shows_bars
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.report import write_report
from matboard.results import SelectionResults, StreamResults, TransferResults, read
from matboard.results.stream import Outcome
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.loading import defaults_of
from matboard.studies.progress import Progress
from matboard.studies.prompts import study as learn_and_judge
from matboard.studies.reading import laid_over, parse, raw_config
from matboard.studies.samples import FOLDER as PREDICTIONS
from matboard.studies.samples import write_predictions
from matboard.studies.streams import continual

Asked: TypeAlias = str | Path | Mapping[str, Any]
"""A study: a YAML file, or what would stand in one."""
Watch: TypeAlias = Callable[[Progress], object]
Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True)
class _Study(ABC):
    """A finished study in its run folder; a notebook shows its table."""

    folder: Path
    results: TransferResults | StreamResults

    def report(self, out: str | Path | None = None) -> Path:
        """Write the page, ``report.html`` in the run folder where None, and return where it
        lies.
        """
        return write_report(self.folder, None if out is None else Path(out))

    def _repr_html_(self) -> str:
        return self.results._repr_html_()


@dataclass(frozen=True)
class PromptStudy(_Study):
    """A finished study of pixel prompts; a notebook shows its table.

    Attributes:
        folder: its run folder.
        results: every cell with its interval, and what they come to.
    """

    results: TransferResults

    @property
    def prompts(self) -> dict[str, VisualPrompt]:
        """Every prompt that was learned, by the name of its fit (``tvp-s0``: variant and seed)."""
        return {
            one.run: load_prompt(self.folder / one.folder)
            for one in self.results.prompts
        }

    def predictions(self, out: str | Path | None = None, *, csv: bool = False) -> Path:
        """Write what models said, one file a judged cell, JSON lines or CSV, and return their
        folder, ``predictions`` in the run folder where None.
        """
        place = Path(out) if out is not None else self.folder / PREDICTIONS
        _drive(write_predictions(self.folder, place, as_csv=csv), None)
        return place


@dataclass(frozen=True)
class StreamStudy(_Study):
    """A finished study of learners over a stream of tasks; a notebook shows its table.

    Attributes:
        folder: its run folder.
        results: every learner's accuracy and forgetting, and how they compare.
    """

    results: StreamResults

    def matrix(self, learner: str, seed: int | None = None) -> AccuracyMatrix:
        """A learner's accuracy matrix with one seed, the first where None. Raises ConfigError."""
        file = self.folder / self._outcome(learner, seed).matrix
        return AccuracyMatrix.from_csv(file)

    def selection(self, learner: str, seed: int | None = None) -> SelectionResults:
        """Which prompts of a learner's pool serve which class. Raises ConfigError for a learner
        without a pool.
        """
        file = self._outcome(learner, seed).selection
        if file is None:
            with_pools = dict.fromkeys(
                one.learner for one in self.results.outcomes if one.selection
            )
            raise ConfigError(
                f"{learner!r} has no pool of prompts to choose from; those with one:"
                f" {', '.join(with_pools) or 'none'}."
            )
        found = read(self.folder / file)
        assert isinstance(found, SelectionResults)
        return found

    def _outcome(self, learner: str, seed: int | None) -> Outcome:
        every = self.results.outcomes
        for outcome in every:
            if outcome.learner == learner and seed in (None, outcome.seed):
                return outcome
        listed = ", ".join(f"{one.learner} (seed {one.seed})" for one in every)
        asked = learner if seed is None else f"{learner} (seed {seed})"
        raise ConfigError(f"There is no {asked} in this study; there are: {listed}.")


def study(
    config: Asked,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    device: str | None = None,
    watch: Watch | None = None,
) -> PromptStudy:
    """Learn prompts, judge them, write a run folder: ``matboard fit`` from Python.

    What is interrupted goes on where it stopped when the same call is made again; what is finished
    is found.

    Args:
        config: a YAML file, or a mapping of its keys (``matboard config`` and
            docs/configuration.md list them).
        out: the run folder.
        settings: what is laid over the configuration, nested or dotted: ``{"prompt.width": 20}``.
        store: a folder where studies keep fits and scores for one another; by default ``out``.
        device: where models run; a GPU where there is one, if None.
        watch: is called with each `Progress`; bars where somebody looks, if None.

    Raises:
        ConfigError: whatever is wrong with the configuration, named in full.
        InputError: before anything heavy starts, whatever in it cannot be had.
        RunError: the folder holds another study, or another process is to finish this one.
    """
    asked = _settings(config, settings, StudyConfig, device)
    place = None if store is None else Path(store)
    _drive(learn_and_judge(asked, Path(out), store=place, device=device), watch)
    results = read(Path(out))
    assert isinstance(results, TransferResults)
    return PromptStudy(Path(out), results)


def study_stream(
    config: Asked,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    device: str | None = None,
    watch: Watch | None = None,
) -> StreamStudy:
    """Run learners over a stream of tasks, compare them, write a run folder: ``matboard
    continual`` from Python. Arguments and errors are those of `study`.
    """
    asked = _settings(config, settings, ContinualConfig, None)
    place = None if store is None else Path(store)
    _drive(continual(asked, Path(out), store=place, device=device), watch)
    results = read(Path(out))
    assert isinstance(results, StreamResults)
    return StreamStudy(Path(out), results)


def _settings(
    config: Asked,
    over: Mapping[str, Any] | None,
    kind: type[Settings],
    device: str | None,
) -> Settings:
    """What a study asks for, checked whole. Raises ConfigError."""
    if isinstance(config, Mapping):
        raw, origin = dict(config), ""
    else:
        raw, origin = raw_config(Path(config), []), str(config)
    asked = {**defaults_of(kind, device), **laid_over(raw, over or {})}
    return parse(kind, asked, origin)


def _drive(events: Iterator[Progress], watch: Watch | None) -> None:
    """Make all the events, each shown to ``watch``. Whatever ends it, a study gives back what it
    holds.
    """
    bars = _Bars()
    look = watch or (bars if shows_bars() else None)
    loading = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # those for loading would tear ours
    try:
        for event in events:
            if look is not None:
                look(event)
    finally:
        bars.close()
        if loading:
            transformers_logging.enable_progress_bar()
        getattr(events, "close", lambda: None)()


class _Bars:
    """A bar for each stage of a study; the last one is at work."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __call__(self, event: Progress) -> None:
        if event.stage != self._stage:
            self.close()
            self._stage = event.stage
            self._bar = _bar(desc=event.stage, total=event.total)
        self._bar.set_postfix_str(event.detail, refresh=False)
        self._bar.update(event.done - self._bar.n)

    def close(self) -> None:
        """Leave the last bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _bar(**options: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):
        # without ipywidgets a notebook has bars of text, which do as well
        from tqdm.auto import tqdm

    return tqdm(**options)
