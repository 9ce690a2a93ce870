"""The accuracy matrix of a task stream, and each measure published under the one word
"forgetting".

``R[t, j]`` is the accuracy on task j after training up to task t. Write T for the number of tasks.
Published codes disagree on what "forgetting" is: the same run reads 6.4, 6.2 or 1.5, so each
definition has its own name here, and the matrix itself is what is stored.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError, UnknownName
from matboard.notebooks import shaded

_CORNER = "trained up to"
_Matrix: TypeAlias = NDArray[np.float64]
_Definitions: TypeAlias = Mapping[str, Callable[[_Matrix], float]]


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """Rows: trained up to this task. Columns: evaluated on this task.

    Attributes:
        values: ``T × T`` accuracies in [0, 1]; NaN above the diagonal where a task was not
            evaluated before it was learned.
        tasks: T names, in the order of the stream; by default ``task 1`` and so on.

    Raises:
        InputError: not square, an entry on or below the diagonal missing, an accuracy outside
            [0, 1], names that do not fit.
    """

    values: NDArray[Any]
    tasks: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if wrong := _wrong_values(values):
            raise InputError(wrong)
        numbered = [f"task {number}" for number in range(1, len(values) + 1)]
        tasks = tuple(self.tasks or numbered)
        if len(set(tasks)) != len(values):
            raise InputError(
                f"{len(values)} tasks need {len(values)} different names,"
                f" but {len(set(tasks))} came."
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "tasks", tasks)

    def average_accuracy(self, samples: Sequence[int] = ()) -> float:
        """A_T: mean over tasks of the last row.

        Args:
            samples: test samples of each task. Where given, every sample counts the same, and not
                every task: what PILOT, Mammoth and SimpleCIL print.
        """
        return float(self._stages(samples)[-1])

    def average_incremental_accuracy(self, samples: Sequence[int] = ()) -> float:
        """Mean over stages t of A_t, the accuracy over the tasks learned by then.

        Args:
            samples: as in ``average_accuracy``; with them this is what PILOT prints as
                "Average Accuracy".
        """
        return float(self._stages(samples).mean())

    def learning_accuracy(self) -> float:
        """Mean of the diagonal: how well each task was learned when it came."""
        return float(np.diag(self.values).mean())

    def forgetting(self, definition: str = "chaudhry") -> float:
        """Forgetting under a name of ``FORGETTINGS``, by default that of Chaudhry et al. 2018
        (arXiv 1801.10112).
        """
        return self._measure("definition of forgetting", definition, FORGETTINGS)

    def backward_transfer(self, definition: str = "gem") -> float:
        """Backward transfer under a name of ``BACKWARD_TRANSFERS``, by default that of the GEM
        paper (arXiv 1706.08840).
        """
        return self._measure(
            "definition of backward transfer", definition, BACKWARD_TRANSFERS
        )

    def forward_transfer(self, untrained: Sequence[float]) -> float:
        """1/(T−1) Σ_{j>1} R[j−1,j] − b_j: GEM. Meaningless where the head knows no class before it
        is learned.

        Args:
            untrained: b, per task, the accuracy before any training.
        """
        before = np.diag(self._past_tasks(), 1)
        if len(untrained) != len(self.values) or np.isnan(before).any():
            raise InputError(
                "Forward transfer needs each task's accuracy one stage before it is learned, and"
                " before any training."
            )
        gains = before - np.asarray(untrained)[1:]
        return float(gains.mean())

    def __repr__(self) -> str:
        average = self.average_accuracy()
        return (
            f"AccuracyMatrix({len(self.tasks)} tasks, average accuracy {average:.3f})"
        )

    def _repr_html_(self) -> str:
        """The matrix, where a notebook shows it."""
        columns = [str(number) for number in range(1, len(self.tasks) + 1)]
        rows = self.values.tolist()
        return shaded(repr(self), _CORNER, self.tasks, columns, rows)

    def to_csv(self, path: str | Path) -> None:
        """Write the matrix with its task names; what was not evaluated is an empty cell."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([_CORNER, *self.tasks])
            for task, row in zip(self.tasks, self.values, strict=True):
                cells = [
                    "" if np.isnan(value) else repr(value) for value in row.tolist()
                ]
                writer.writerow([task, *cells])

    @classmethod
    def from_csv(cls, path: str | Path) -> AccuracyMatrix:
        """Read what ``to_csv`` wrote. Raises InputError."""
        with Path(path).open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        try:
            values = [
                [float(cell) if cell else np.nan for cell in row[1:]] for row in rows
            ]
            return cls(np.array(values), header[1:])
        except ValueError as error:
            raise InputError(
                f"{path} is not an accuracy matrix (a header of task names, then one row a stage):"
                f" {error}."
            ) from error

    def _stages(self, samples: Sequence[int]) -> _Matrix:
        """A_t of every stage t."""
        tasks = len(self.values)
        weights = np.array(samples or [1] * tasks, dtype=np.float64)
        if weights.shape != (tasks,) or (weights <= 0).any():
            raise InputError(
                f"Samples are a positive number for each of the {tasks} tasks, but"
                f" {list(samples)} came."
            )
        averages = []
        for seen, row in enumerate(self.values, start=1):
            averages.append(np.average(row[:seen], weights=weights[:seen]))
        return np.array(averages)

    def _measure(self, kind: str, definition: str, definitions: _Definitions) -> float:
        if definition not in definitions:
            raise UnknownName(kind, definition, definitions)
        return float(definitions[definition](self._past_tasks()))

    def _past_tasks(self) -> _Matrix:
        if len(self.values) < 2:
            raise InputError(
                "Forgetting and transfer need at least two tasks; this matrix has one."
            )
        return self.values


def _wrong_values(values: _Matrix) -> str | None:
    square = values.ndim == 2 and values.shape[0] == values.shape[1]
    if not square or not values.size:
        return (
            "An accuracy matrix is square, stages × tasks, but this one has shape"
            f" {values.shape}."
        )
    if np.isnan(np.tril(values)).any():
        return (
            "Every task learned so far must be evaluated at every stage: an entry on or below"
            " the diagonal is missing."
        )
    if np.nanmin(values) < 0 or np.nanmax(values) > 1:
        return (
            f"Accuracies are in [0, 1], but one is {np.nanmax(np.abs(values)):g}: divide"
            " percentages by 100."
        )
    return None


def _histories(r: _Matrix) -> list[_Matrix]:
    """Of each past task, its accuracies from the stage that learned it to the last."""
    return [r[j:, j] for j in range(len(r) - 1)]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _chaudhry(r: _Matrix) -> float:
    return _mean(history[:-1].max() - history[-1] for history in _histories(r))


def _with_last(r: _Matrix) -> float:
    return _mean(history.max() - history[-1] for history in _histories(r))


def _first_to_last(r: _Matrix) -> float:
    return _mean(history[0] - history[-1] for history in _histories(r))


def _per_step(r: _Matrix) -> float:
    drops = []
    for stage in range(1, len(r)):
        drop = r[stage - 1, :stage] - r[stage, :stage]
        drops.append(drop.mean())
    return _mean(drops)


def _continuum(r: _Matrix) -> float:
    *but_last, _ = _histories(r)
    drops = [history[:-2].max() - history[-1] for history in but_last]
    return float(sum(drops) / (len(r) - 1))


def _libcontinual(r: _Matrix) -> float:
    *but_last, _ = _histories(r)
    drops = [history[0] - history[-1] for history in but_last]
    return float(sum(drops) / (len(r) - 1))


def _backward_gem(r: _Matrix) -> float:
    return -_first_to_last(r)


def _backward_all_stages(r: _Matrix) -> float:
    gains = r - np.diag(r)
    later = np.tril_indices(len(r), -1)
    return float(gains[later].mean())


def _backward_continuum(r: _Matrix) -> float:
    gains = r - np.diag(r)
    later_but_one = np.tril_indices(len(r), -2)
    pairs = len(r) * (len(r) - 1) / 2
    return float(gains[later_but_one].sum() / pairs)


FORGETTINGS: _Definitions = {
    "chaudhry": _chaudhry,
    "l2p": _with_last,
    "avalanche": _first_to_last,
    "coda": _per_step,
    "continuum-1.2.7": _continuum,
    "libcontinual": _libcontinual,
}
"""Name → definition, all over past tasks j < T.

===================  ============================================================================
``chaudhry``         mean of max_{j ≤ l < T} R[l,j] − R[T,j]; negative where a task got better
``l2p``              the same with l ≤ T, so never negative (L2P, PILOT, Mammoth, DAP, HiDe)
``avalanche``        mean of R[j,j] − R[T,j] (Avalanche ``StreamForgetting``)
``coda``             mean over stages of the mean drop since the stage before: much smaller
                     (CODA-Prompt ``calc_forgetting``)
``continuum-1.2.7``  ``chaudhry`` without the last past task, with l < T − 1, and still divided by
                     T − 1 (continuum 1.2.7 ``forgetting``; its bounds, kept for comparison)
``libcontinual``     ``avalanche`` without the last past task, divided by T − 1 (LibContinual
                     ``compute_frgt``)
===================  ============================================================================
"""

BACKWARD_TRANSFERS: _Definitions = {
    "gem": _backward_gem,
    "diaz-rodriguez": _backward_all_stages,
    "continuum-1.2.7": _backward_continuum,
}
"""Name → definition; positive where old tasks got better.

===================  ============================================================================
``gem``              mean over j < T of R[T,j] − R[j,j]: the GEM paper (arXiv 1706.08840) and
                     Mammoth. GEM's own code divides by T.
``diaz-rodriguez``   mean of R[i,j] − R[j,j] over all i > j (arXiv 1810.13166)
``continuum-1.2.7``  the same sum without the stage right after j, i > j + 1, divided by all
                     T(T − 1)/2 (continuum 1.2.7 and LibContinual ``compute_bwt``)
===================  ============================================================================
"""
