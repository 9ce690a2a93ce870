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

from matboard.continual.learner import Choice, Learner, LearnStep
from matboard.tasks.stream import StreamTask, TaskStream


@dataclass(frozen=True)
class Stage:
    """What holds after task ``index``: a row of the accuracy matrix.

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


@dataclass(frozen=True)
class Choices:
    """Which prompts of its pool a learner chose over the whole test part.

    Attributes:
        chosen: ``n × top_k`` indices.
        similarity: ``n × size``, before the choice.
        labels: n joint labels.
    """

    chosen: NDArray[np.int64]
    similarity: NDArray[np.float64]
    labels: NDArray[np.int64]


def run_stream(
    learner: Learner, stream: TaskStream, start: int = 0
) -> Iterator[LearnStep | Stage]:
    """Learn the tasks from ``start`` on; yields steps, and a `Stage` after each task.

    To resume, load the learner's state as it was after task ``start`` − 1.
    """
    for task in stream.tasks[start:]:
        started = perf_counter()
        yield from learner.learn(task)
        accuracies = np.full(len(stream.tasks), np.nan)
        predicted = []
        for past in stream.tasks[: task.index + 1]:
            found = _predictions(learner, past)
            true = np.array([s.label for s in past.test])
            accuracies[past.index] = (found == true).mean()
            predicted.append(found)
        seconds = perf_counter() - started
        yield Stage(task.index, accuracies, np.concatenate(predicted), seconds)


def _predictions(learner: Learner, task: StreamTask) -> NDArray[np.int64]:
    found = []
    for part in learner.eye.parts(task.test, learner.layer):
        likeliest = learner.logits(part).argmax(dim=1)
        found.append(likeliest.numpy())
    return np.concatenate(found)


@torch.no_grad()
def choices(learner: Learner, stream: TaskStream) -> Choices | None:
    """What the learner chooses, sorted by sample id and so alike for every order of the classes.

    None where it has no pool.
    """
    found: list[Choice] = []
    for task in stream.tasks:
        for part in learner.eye.parts(task.test, learner.layer):
            choice = learner.choice(part)
            if choice is None:
                return None
            found.append(choice)
    samples = [s for t in stream.tasks for s in t.test]
    order = np.argsort([s.id for s in samples], kind="stable")
    labels = np.array([s.label for s in samples])
    chosen = torch.cat([choice.chosen for choice in found])
    similarity = torch.cat([choice.similarity for choice in found]).double()
    return Choices(chosen.numpy()[order], similarity.numpy()[order], labels[order])
