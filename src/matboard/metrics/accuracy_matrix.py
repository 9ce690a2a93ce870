"""The accuracy matrix of a task stream, and every forgetting that was published under that one
word.

``R[t, j]`` is the accuracy on task j after training up to task t. Write T for the number of tasks.
Published codes disagree on what "forgetting" is: the same run reads 6.4, 6.3 or 1.5, so each
definition has its own name here, and the matrix itself is what is stored.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError, UnknownName

_CORNER = "trained up to"


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """Rows: trained up to this task. Columns: evaluated on this task.

    Attributes:
        values: ``T × T`` accuracies in [0, 1]; NaN above the diagonal where a task was not
            evaluated before it was learned.
        tasks: T names, in the order of the stream; by default ``task 1`` and so on.

    Raises:
        InputError: not square, an entry on or below the diagonal missing, an accuracy outside [0,
            1], names that do not fit.
    """

    values: NDArray[Any]
    tasks: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
            raise InputError(
                "An accuracy matrix is square, stages × tasks, but this one has shape"
                f" {values.shape}."
            )
        if np.isnan(np.tril(values)).any():
            raise InputError(
                "Every task learned so far must be evaluated at every stage: an entry on or below"
                " the diagonal is missing."
            )
        if np.nanmin(values) < 0 or np.nanmax(values) > 1:
            raise InputError(
                f"Accuracies are in [0, 1], but one is {np.nanmax(np.abs(values)):g}: divide"
                " percentages by 100."
            )
        tasks = tuple(self.tasks) or tuple(f"task {i + 1}" for i in range(len(values)))
        if len(set(tasks)) != len(values):
            raise InputError(
                f"{len(values)} tasks need {len(values)} different names, but {len(set(tasks))}"
                " came."
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "tasks", tasks)

    def average_accuracy(self) -> float:
        """A_T: mean over tasks of the last row."""
        return float(self.values[-1].mean())

    def average_incremental_accuracy(self) -> float:
        """Mean over stages t of A_t, the mean over the tasks learned by then. PILOT prints it as
        "Average Accuracy".
        """
        return float(np.mean([self.values[t, : t + 1].mean() for t in range(len(self.values))]))

    def learning_accuracy(self) -> float:
        """Mean of the diagonal: how well each task was learned when it came."""
        return float(np.diag(self.values).mean())

    def forgetting(self, definition: str = "chaudhry") -> float:
        """Forgetting under a named definition; Chaudhry et al. 2018 (arXiv 1801.10112) by default.
        See ``FORGETTINGS``.
        """
        if definition not in FORGETTINGS:
            raise UnknownName("definition of forgetting", definition, FORGETTINGS)
        return float(FORGETTINGS[definition](self._past_tasks()))

    def backward_transfer(self) -> float:
        """1/(T−1) Σ_{j<T} R[T,j] − R[j,j]: GEM (arXiv 1706.08840)."""
        return -_first_to_last(self._past_tasks())

    def backward_transfer_all_stages(self) -> float:
        """Mean of R[i,j] − R[j,j] over every later stage i > j: Díaz-Rodríguez et al. (arXiv
        1810.13166), continuum.
        """
        later = np.tril_indices(len(self._past_tasks()), -1)
        return float((self.values - np.diag(self.values))[later].mean())

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
        return float((before - np.asarray(untrained)[1:]).mean())

    def to_csv(self, path: str | Path) -> None:
        """Write the matrix with its task names; what was not evaluated is an empty cell."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([_CORNER, *self.tasks])
            for task, row in zip(self.tasks, self.values, strict=True):
                writer.writerow([task, *("" if np.isnan(x) else repr(float(x)) for x in row)])

    @classmethod
    def from_csv(cls, path: str | Path) -> AccuracyMatrix:
        """Read what ``to_csv`` wrote. Raises InputError."""
        with Path(path).open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        try:
            values = [[float(cell) if cell else np.nan for cell in row[1:]] for row in rows]
            return cls(np.array(values), header[1:])
        except ValueError as error:
            raise InputError(
                f"{path} is not an accuracy matrix (a header of task names, then one row a stage):"
                f" {error}."
            ) from error

    def _past_tasks(self) -> NDArray[np.float64]:
        if len(self.values) < 2:
            raise InputError(
                "Forgetting and transfer need at least two tasks; this matrix has one."
            )
        return self.values


def _chaudhry(r: NDArray[np.float64]) -> float:
    last = len(r) - 1
    return float(np.mean([r[j:last, j].max() - r[last, j] for j in range(last)]))


def _with_last(r: NDArray[np.float64]) -> float:
    last = len(r) - 1
    return float(np.mean([r[j:, j].max() - r[last, j] for j in range(last)]))


def _first_to_last(r: NDArray[np.float64]) -> float:
    return float((np.diag(r) - r[-1])[:-1].mean())


def _per_step(r: NDArray[np.float64]) -> float:
    return float(np.mean([(r[t - 1, :t] - r[t, :t]).mean() for t in range(1, len(r))]))


def _continuum(r: NDArray[np.float64]) -> float:
    last = len(r) - 1
    return float(sum(r[j:last, j].max() - r[last, j] for j in range(last - 1)) / last)


def _libcontinual(r: NDArray[np.float64]) -> float:
    return float((np.diag(r) - r[-1])[:-2].sum() / (len(r) - 1))


FORGETTINGS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "chaudhry": _chaudhry,
    "l2p": _with_last,
    "avalanche": _first_to_last,
    "coda": _per_step,
    "continuum-1.2.7": _continuum,
    "libcontinual": _libcontinual,
}
"""Name → definition, all over past tasks j < T.

=================  ==================================================================================================
``chaudhry``       mean of max_{j ≤ l < T} R[l,j] − R[T,j]; negative where a task got better
``l2p``            the same with l ≤ T, so never negative (L2P, PILOT, Mammoth, DAP, HiDe)
``avalanche``      mean of R[j,j] − R[T,j], which is −backward transfer (Avalanche ``StreamForgetting``)
``coda``           mean over stages of the mean drop since the stage before: much smaller (CODA ``calc_forgetting``)
``continuum-1.2.7``  ``chaudhry`` without the last past task, still divided by T − 1 (an off-by-one, kept for comparison)
``libcontinual``   ``avalanche`` with the same off-by-one
=================  ==================================================================================================
"""
