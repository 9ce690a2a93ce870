"""Quantities over a stream against AccuracyMatrix, and what their intervals must do."""

import numpy as np
import pytest

from matboard.errors import InputError
from matboard.metrics import (
    AccuracyMatrix,
    StreamHits,
    stream_difference,
    stream_estimate,
)

READ = {
    "accuracy": AccuracyMatrix.average_accuracy,
    "average_incremental_accuracy": AccuracyMatrix.average_incremental_accuracy,
    "forgetting": AccuracyMatrix.forgetting,
}


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


@pytest.mark.parametrize("quantity", READ)
def test_values_are_the_accuracy_matrix_s(quantity):
    seeds = [hits(s) for s in range(3)]
    found = stream_estimate(quantity, seeds)
    assert found.value == pytest.approx(
        np.mean([READ[quantity](matrix(h)) for h in seeds])
    )
    assert found.low < found.value < found.high and found.n == 120
    assert found == stream_estimate(quantity, seeds)


@pytest.mark.parametrize("quantity", READ)
def test_many_samples_give_what_the_bootstrap_gives(quantity):
    """Of one seed; resampled within each task, as the tasks' sizes are given."""
    seed = hits(1, n=800)
    rng = np.random.default_rng(2)
    values = []
    for _ in range(500):
        parts = [np.flatnonzero(seed.task == j) for j in range(4)]
        chosen = np.concatenate([rng.choice(part, len(part)) for part in parts])
        values.append(
            READ[quantity](matrix(StreamHits(seed.hits[:, chosen], seed.task[chosen])))
        )
    found = stream_estimate(quantity, [seed])
    middle = np.quantile(values, [0.025, 0.975])
    assert found.high - found.low == pytest.approx(middle[1] - middle[0], rel=0.2)


def test_differences_are_paired():
    a = [hits(s, n=400) for s in range(3)]
    b = [StreamHits(h.hits.copy(), h.task) for h in a]
    for h in b:
        h.hits[-1, :100] = True
    better = stream_difference("accuracy", a, b)
    gain = stream_estimate("accuracy", b).value - stream_estimate("accuracy", a).value
    alone = stream_estimate("accuracy", a)
    assert better.value == pytest.approx(gain) and better.low > 0
    assert better.high - better.low < alone.high - alone.low
    with pytest.raises(InputError, match="one has 3 seeds and the other 2"):
        stream_difference("accuracy", a, b[:2])


def test_the_same_answers_are_no_proof_of_no_difference():
    a = [hits(s, n=12, tasks=2) for s in range(3)]
    same = stream_difference("accuracy", a, a)
    assert same.value == 0 and same.low < -0.1 and same.high > 0.1


def test_nine_samples_have_no_interval():
    few = [hits(s, n=9, tasks=3) for s in range(3)]
    assert stream_estimate("forgetting", few).low is None
    assert stream_difference("accuracy", few, few).high is None


def test_accuracies_stay_within_what_is_possible():
    """Forgetting may be below zero, an accuracy not."""
    far_apart = [hits(0, n=12, tasks=2, level=level) for level in (0.05, 0.1, 0.95)]
    assert stream_estimate("accuracy", far_apart).low == 0
    assert stream_estimate("forgetting", far_apart).low < 0
