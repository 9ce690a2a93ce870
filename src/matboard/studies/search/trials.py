"""The trials of a search, in a storage of Optuna's that any number of workers share.

A trial that a worker began and did not end is taken up by the next worker of the same run folder,
under its own number and with its own values: its lease (see `leases`) says that nobody works on it.
So a search that is killed goes on as if it had not been. Which values a trial gets depends on the
seed, its number, and the trials that ended before; with one worker, on the seed alone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from filelock import SoftFileLease
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from matboard.errors import ConfigError, UnknownName, first_line
from matboard.runs import Run, address, write_atomically
from matboard.studies.engine import LOCKS
from matboard.studies.leases import WAIT, Leases
from matboard.studies.search.ranges import Range, Value

PRUNERS: dict[str, type[BasePruner]] = {
    "median": MedianPruner,
    "halving": SuccessiveHalvingPruner,
    "none": NopPruner,
}
"""A trial is given up that lies below the median of those before it at the same step; or that is
not among the best of its rung (Li et al., arXiv 1810.05934); or never.
"""
BUSY = 60.0
"""Seconds that a worker waits for an SQLite file that others write (guess)."""
TRIES = 5
"""How often a storage is opened: workers on machines that share no disk may open an empty one at
the same moment, and then stand in each other's way when its tables are made.
"""
FOLDER = "folder"
"""A trial's note of the run folder that it is worked on in."""
ERROR = "error"
"""A trial's note of why it failed."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class SeededByNumber(BaseSampler):
    """The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), whose random numbers
    depend on a seed, the trial's number and the parameter, and on no state that a kill could lose.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._sampler(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._sampler(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See Optuna."""
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _sampler(self, trial: FrozenTrial, parameter: str = "") -> TPESampler:
        own = int(address([self._seed, trial.number, parameter]), 16)
        return TPESampler(seed=own % 2**32)


@dataclass(frozen=True)
class Taken:
    """A trial that this process works on.

    Attributes:
        trial: where scores are reported to.
        values: searched key → its value.
        looks: steps whose score is reported already.
        lease: released by whoever took it.
    """

    trial: optuna.Trial
    values: Mapping[str, Value]
    looks: frozenset[int]
    lease: SoftFileLease


class Trials:
    """The trials of one search.

    Args:
        run: its run folder.
        name: of the search in the storage: equal for workers that share it, and for no others.
        storage: an SQLAlchemy URL.
        limit: so many trials in all.

    Raises:
        ConfigError: the storage cannot be opened, or there is no such pruner.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        ranges: Mapping[str, Range],
        *,
        storage: str,
        seed: int,
        pruner: str,
        limit: int,
    ) -> None:
        self._ranges = ranges
        self._limit = limit
        self._leases = Leases(run.path(LOCKS))
        if pruner not in PRUNERS:
            raise UnknownName("pruner", pruner, PRUNERS)
        with self._leases.wait("trials"):
            self._folder = _identity(run)
            self._study = _opened(
                name, storage, SeededByNumber(seed), PRUNERS[pruner]()
            )

    def all(self) -> list[FrozenTrial]:
        """Every trial, but those that a kill left before anything was drawn for them."""
        found = self._study.get_trials(deepcopy=False)
        return [trial for trial in found if FOLDER in trial.user_attrs]

    @property
    def ended(self) -> int:
        """How many are over."""
        return sum(trial.state in ENDED for trial in self.all())

    @property
    def running_here(self) -> bool:
        """Whether a trial of this run folder is not over."""
        return any(self._is_ours(trial) for trial in self.all())

    def take(self) -> Taken | None:
        """A trial that was left, or else a new one; None where enough are made or begun."""
        with self._leases.wait("trials"):
            trials = self.all()
            for left in filter(self._is_ours, trials):
                lease = self._leases.take(_lease(left.number))
                if lease is not None:
                    return self._begun(optuna.Trial(self._study, left._trial_id), lease)
            if len(trials) >= self._limit:
                return None
            trial = self._study.ask()
            lease = self._leases.take(_lease(trial.number))
            assert lease is not None
            trial.set_user_attr(FOLDER, self._folder)
            return self._begun(trial, lease)

    def tell(self, taken: Taken, score: float | None, *, error: str = "") -> None:
        """How a trial ended: with a score; without one, pruned, or failed for a reason."""
        state = TrialState.COMPLETE if score is not None else TrialState.PRUNED
        if error:
            taken.trial.set_user_attr(ERROR, error)
            state = TrialState.FAIL
        self._study.tell(taken.trial, score, state=state)

    def _is_ours(self, trial: FrozenTrial) -> bool:
        ours = trial.user_attrs.get(FOLDER) == self._folder
        return ours and trial.state == TrialState.RUNNING

    def _begun(self, trial: optuna.Trial, lease: SoftFileLease) -> Taken:
        values = {}
        for key, asked in self._ranges.items():
            values[key] = _suggested(trial, key, asked)
        before = self._study.get_trials(deepcopy=False)[trial.number]
        return Taken(trial, values, frozenset(before.intermediate_values), lease)


def _suggested(trial: optuna.Trial, key: str, asked: Range) -> Value:
    """A trial's value of a key; the one that it has, where it has one."""
    if asked.values is not None:
        value: Value = trial.suggest_categorical(key, asked.values)
        return value
    assert asked.low is not None and asked.high is not None
    if asked.whole:
        low, high, step = int(asked.low), int(asked.high), int(asked.step or 1)
        return trial.suggest_int(key, low, high, step=step)
    return trial.suggest_float(
        key, asked.low, asked.high, step=asked.step, log=asked.log
    )


def _lease(number: int) -> str:
    return f"trial-{number}"


def _identity(run: Run) -> str:
    """What tells this run folder from those of other machines that use the same storage."""
    path = run.path(f"{LOCKS}/identity")
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex.encode())
    return path.read_text()


def _opened(
    name: str, storage: str, sampler: BaseSampler, pruner: BasePruner
) -> optuna.Study:
    """The search in its storage, made where it is missing. Raises ConfigError."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=_connected(storage),
            sampler=sampler,
            pruner=pruner,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
    except ImportError as error:
        raise ConfigError(
            "The storage of trials needs a driver that is not installed"
            f" ({first_line(error.__cause__ or error)}). For PostgreSQL: pip install"
            " 'psycopg[binary]', and give postgresql+psycopg://user:password@host/database."
        ) from error
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ValueError) as error:
        raise ConfigError(
            f"The storage of trials cannot be opened ({first_line(error)}). Give --storage an"
            " SQLAlchemy URL such as postgresql+psycopg://user:password@host/database."
        ) from error


def _connected(storage: str) -> RDBStorage:
    """The storage, whose tables are made where they are missing."""
    options = {}
    if storage.startswith("sqlite"):
        options["connect_args"] = {"timeout": BUSY}
    for _ in range(TRIES - 1):
        try:
            return RDBStorage(storage, engine_kwargs=options)
        except DBAPIError:
            time.sleep(WAIT)
    return RDBStorage(storage, engine_kwargs=options)
