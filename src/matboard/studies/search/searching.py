"""Search for a study's settings: trials that are scored on held-out training samples.

A trial learns the study's variant with values drawn from ranges, once a seed and task, each in
``fits/`` at the address of its content. Its score is the validation score of the prompt that the
study would keep; of the test part no picture is shown to any model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from optuna.trial import FrozenTrial, TrialState

from matboard import __version__
from matboard.errors import RunError
from matboard.results.search import Look, SearchResults, Trial
from matboard.runs import Run, address, write_atomically
from matboard.studies.engine import alone
from matboard.studies.leases import WAIT
from matboard.studies.progress import Progress
from matboard.studies.search.ranges import SearchConfig
from matboard.studies.search.trials import ERROR, Trials
from matboard.studies.search.tuning import Bench

STATES: dict[TrialState, Literal["complete", "pruned", "failed", "running"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a search goes.

    Attributes:
        trials: in all, over all workers; may grow when a search is taken up again.
        seed: of the values that trials get.
        pruner: a name of `trials.PRUNERS`.
        storage: an SQLAlchemy URL; None: an SQLite file in the run folder, for workers of one
            machine.
    """

    trials: int = 30
    seed: int = 0
    pruner: str = "median"
    storage: str | None = None


def search(
    config: SearchConfig, out: Path, options: SearchOptions
) -> Iterator[Progress]:
    """Make trials, beside whoever else does, until there are enough; write what came out:
    ``results.json`` and ``best.yaml``.

    Args:
        out: the run folder; created, or taken up where it was left. Workers on several machines
            give the same one on a shared disk, or each its own; and the same storage.

    Raises:
        InputError: before anything heavy starts, whatever in the configuration cannot be had.
        RunError: no trial could be learned.
    """
    bench = Bench(config, out)
    asked = {
        **config.asked,
        "sampling": {"seed": options.seed, "pruner": options.pruner},
    }
    made_from = address([asked, __version__, bench.fingerprints])
    run = Run.open(out, asked)
    trials = Trials(
        run,
        f"matboard-{made_from}",
        config.search,
        storage=options.storage or f"sqlite:///{out.resolve() / 'trials.db'}",
        seed=options.seed,
        pruner=options.pruner,
        limit=options.trials,
    )
    yield from _until_enough(bench, trials, options.trials)
    with alone(run):
        results = _results(config, bench, trials.all(), options, made_from)
        _write_best(run, config, results)
        run.write_results(results.as_json())
    yield Progress("write", 1, 1)


def _until_enough(bench: Bench, trials: Trials, most: int) -> Iterator[Progress]:
    yield Progress("search", min(trials.ended, most), most)
    while (taken := trials.take()) is not None or trials.running_here:
        done = min(trials.ended, most)
        if taken is None:
            yield Progress("search", done, most, "wait for other workers")
            time.sleep(WAIT)
            continue
        try:
            yield from bench.carry_out(taken, trials)
        finally:
            taken.lease.release()
        yield Progress("search", min(trials.ended, most), most)


def _results(
    config: SearchConfig,
    bench: Bench,
    trials: Sequence[FrozenTrial],
    options: SearchOptions,
    made_from: str,
) -> SearchResults:
    """What came out. Raises RunError where nothing did."""
    told = tuple(_trial(trial) for trial in trials)
    scores = {trial.number: trial.score for trial in told if trial.state == "complete"}
    if not scores:
        reasons = [trial.error for trial in told if trial.error]
        why = f" The first: {reasons[0]}" if reasons else ""
        raise RunError(
            f"None of {len(told)} trials was learned to its end.{why} Narrow the ranges, or give"
            " more --trials."
        )
    tuned = config.tuned(next(iter(config.ends)))
    ranges = {
        key: asked.model_dump(exclude_unset=True)
        for key, asked in config.search.items()
    }
    return SearchResults(
        title=config.title,
        variant=tuned.variant.name,
        scored=tuned.scored,
        validation=tuned.variant.settings.validation or {},
        ranges=ranges,
        seed=options.seed,
        pruner=options.pruner,
        trials=told,
        best=max(scores, key=lambda number: (scores[number], -number)),
        made_from=made_from,
    )


def _trial(trial: FrozenTrial) -> Trial:
    looks = sorted(trial.intermediate_values.items())
    score = trial.value if trial.state == TrialState.COMPLETE else None
    if score is None and looks:
        score = looks[-1][1]
    spent = trial.duration
    return Trial(
        number=trial.number,
        state=STATES[trial.state],
        values=dict(trial.params),
        score=score,
        looks=tuple(Look(step=step, score=value) for step, value in looks),
        seconds=None if spent is None else round(spent.total_seconds(), 1),
        error=trial.user_attrs.get(ERROR, ""),
    )


def _write_best(run: Run, config: SearchConfig, results: SearchResults) -> None:
    """The study with the best values, for ``matboard fit``."""
    best = results.best_trial
    text = yaml.safe_dump(config.best(best.values), sort_keys=False, allow_unicode=True)
    header = (
        f"# Trial {best.number} of {len(results.trials)} of matboard search: validation score"
        f" {best.score:.4f} on held-out training samples.\n"
    )
    write_atomically(run.path(results.config), (header + text).encode())
