"""The protocol, and the only place it lives: learn a task, then evaluate on every task seen so far,
without saying which is which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from matboard.continual.eye import Batch
from matboard.continual.learner import Learner, LearnStep
from matboard.tasks.stream import TaskStream


@dataclass(frozen=True)
class Row:
    """A row of the accuracy matrix: what holds after task ``index``.

    Attributes:
        accuracies: on every task of the stream, NaN on those that are still to come.
        predictions: joint labels predicted for the test samples of tasks 0 … index, in the stream's
            order.
        seconds: spent on learning and on evaluating.
    """

    index: int
    accuracies: NDArray[np.float64]
    predictions: NDArray[np.int64]
    seconds: float


def run_stream(learner: Learner, stream: TaskStream, start: int = 0) -> Iterator[LearnStep | Row]:
    """Learn the tasks from ``start`` on; yields steps, and a `Row` after each task.

    To resume, load the learner's state as it was after task ``start`` − 1.
    """
    for task in stream.tasks[start:]:
        started = perf_counter()
        yield from learner.learn(task)
        accuracies = np.full(len(stream.tasks), np.nan)
        predicted = []
        for past in stream.tasks[: task.index + 1]:
            found = np.concatenate(
                [
                    learner.logits(b).argmax(dim=1).numpy()
                    for b in test_batches(learner, stream, past.index)
                ]
            )
            accuracies[past.index] = (found == np.array([s.label for s in past.test])).mean()
            predicted.append(found)
        yield Row(task.index, accuracies, np.concatenate(predicted), perf_counter() - started)


def test_batches(learner: Learner, stream: TaskStream, index: int) -> Iterator[Batch]:
    """One task's test samples, as the learner needs them."""
    samples, size = stream.tasks[index].test, learner.eye.batch_size
    for start in range(0, len(samples), size):
        yield learner.eye.batch(samples[start : start + size], learner.layer)


@torch.no_grad()
def choices(
    learner: Learner, stream: TaskStream
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] | None:
    """(chosen, similarity, labels) over the whole test part, sorted by sample id and so alike for
    every order of the classes.

    None where the learner has no pool.
    """
    found = [
        learner.choice(b) for t in stream.tasks for b in test_batches(learner, stream, t.index)
    ]
    some = [c for c in found if c is not None]
    if not some:
        return None
    samples = [s for t in stream.tasks for s in t.test]
    order = sorted(range(len(samples)), key=lambda place: samples[place].id)
    labels = np.array([s.label for s in samples])[order]
    return (
        torch.cat([c.chosen for c in some]).numpy()[order],
        torch.cat([c.similarity for c in some]).double().numpy()[order],
        labels,
    )
