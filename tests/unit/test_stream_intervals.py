"""Quantities over a stream against AccuracyMatrix, and what their intervals must do."""

import numpy as np
import pytest

from matboard.errors import InputError
from matboard.metrics import AccuracyMatrix, StreamHits, stream_difference, stream_estimate


def hits(seed, n=120, tasks=4, level=0.7):
    rng = np.random.default_rng(seed)
    task = rng.permutation(np.arange(n) % tasks)
    right = rng.random((tasks, n)) < level - 0.1 * np.arange(tasks)[:, None]
    return StreamHits(right & (task[None] <= np.arange(tasks)[:, None]), task)


def matrix(h):
    tasks = len(h.hits)
    values = np.full((tasks, tasks), np.nan)
    for t in range(tasks):
        for j in range(t + 1):
            values[t, j] = h.hits[t, h.task == j].mean()
    return AccuracyMatrix(values)


def test_values_are_the_accuracy_matrix_s():
    seeds = [hits(s) for s in range(3)]
    matrices = [matrix(h) for h in seeds]
    for quantity, read in (
        ("accuracy", AccuracyMatrix.average_accuracy),
        ("average_incremental_accuracy", AccuracyMatrix.average_incremental_accuracy),
        ("forgetting", AccuracyMatrix.forgetting),
    ):
        found = stream_estimate(quantity, seeds)
        assert found.value == pytest.approx(np.mean([read(m) for m in matrices]))
        assert found.low < found.value < found.high and found.n == 120


def test_differences_are_paired():
    a, b = [hits(s) for s in range(3)], [hits(s, level=0.95) for s in range(3)]
    assert stream_difference("accuracy", a, a).low == stream_difference("accuracy", a, a).high == 0
    better = stream_difference("accuracy", a, b)
    assert (
        better.value
        == pytest.approx(
            stream_estimate("accuracy", b).value - stream_estimate("accuracy", a).value
        )
        and better.low > 0
    )
    with pytest.raises(InputError, match="one has 3 seeds and the other 2"):
        stream_difference("accuracy", a, b[:2])
