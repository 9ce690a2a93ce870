"""Differences pooled over models and tasks, against loops and the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matboard.errors import InputError
from matboard.metrics import Compared, paired_difference, pooled_difference, score
from matboard.metrics.intervals import t_quantile


def drawn(task: str, seed: int, metric: str = "accuracy", n: int = 300) -> Compared:
    """One model's scores before and after, of which those after are a little better. Models of one
    task share its samples, and their luck.
    """
    shared = np.random.default_rng([*task.encode()])
    labels = shared.permutation(np.arange(n) % 2)
    luck = shared.normal(size=(n, 2))
    own = np.random.default_rng(seed)
    before = luck + own.normal(size=(n, 2))
    before[np.arange(n), labels] += 1
    after = before + 0.6 * own.normal(size=(n, 2))
    after[np.arange(n), labels] += 0.2
    return Compared(task, metric, [before], [after], labels)


def gain(pair: Compared, chosen: np.ndarray | None = None, seed: int = 0) -> float:
    kept = np.arange(len(pair.labels)) if chosen is None else chosen
    labels = pair.labels[kept]
    before = pair.before[seed % len(pair.before)]
    after = score(pair.metric, pair.after[seed][kept], labels)
    return after - score(pair.metric, before[kept], labels)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "auc"])
def test_one_pair_is_the_paired_difference(metric: str) -> None:
    pair = drawn("a", 1, metric)
    pooled = pooled_difference([pair])
    alone = paired_difference(metric, pair.before[0], pair.after[0], pair.labels)
    assert pooled == alone


def test_the_bootstrap_over_each_tasks_samples_agrees() -> None:
    """Tasks of two metrics and sizes; three models on each, which share its samples."""
    sizes = {"a": (300, "accuracy"), "b": (400, "f1")}
    pairs = []
    for model in range(3):
        for task, (n, metric) in sizes.items():
            pairs.append(drawn(task, 10 + model, metric, n))
    got = pooled_difference(pairs)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(500):
        chosen = {task: rng.integers(0, n, n) for task, (n, _) in sizes.items()}
        gains.append(np.mean([gain(pair, chosen[pair.task]) for pair in pairs]))
    assert got.value == pytest.approx(np.mean([gain(pair) for pair in pairs]))
    assert got.n == 700
    expected = np.quantile(gains, [0.025, 0.975])
    assert [got.low, got.high] == pytest.approx(expected, abs=0.006)
    width = got.high - got.low
    assert width == pytest.approx(expected[1] - expected[0], rel=0.1)


def test_seeds_add_the_spread_of_their_means_in_squares() -> None:
    seeds = [drawn("a", seed) for seed in (1, 2, 3)]
    other = [drawn("a", seed) for seed in (4, 5, 6)]
    before = seeds[0].before
    models = []
    for made in (seeds, other):
        after = [one.after[0] for one in made]
        models.append(replace(made[0], before=before, after=after))
    values = [np.mean([gain(pair, seed=s) for pair in models]) for s in range(3)]
    got = pooled_difference(models)
    assert got.value == pytest.approx(np.mean(values))
    # The very same samples without the seeds' spread: all three as one model's each.
    spread_out = []
    for pair in models:
        for after in pair.after:
            spread_out.append(replace(pair, after=[after]))
    samples_alone = pooled_difference(spread_out)
    between = t_quantile(2) * np.std(values, ddof=1) / np.sqrt(3)
    above = np.hypot(samples_alone.high - samples_alone.value, between)
    assert got.high - got.value == pytest.approx(above)


def test_tasks_of_the_same_scenes_say_no_more_than_one() -> None:
    one = drawn("a", 1)
    alone = pooled_difference([one])
    twice = pooled_difference([one, replace(one, task="a again")])
    apart = pooled_difference([one, drawn("b", 2)])
    width = alone.high - alone.low
    assert twice.high - twice.low == pytest.approx(width, rel=0.03)
    assert apart.high - apart.low == pytest.approx(width / np.sqrt(2), rel=0.1)


def test_nothing_gained_is_decided_about_one_time_in_twenty() -> None:
    wrong = 0
    rng = np.random.default_rng(3)
    for _ in range(100):
        pairs = []
        for task in ("a", "b"):
            labels = rng.integers(0, 2, 40)
            hard = rng.normal(size=(40, 2))
            for _model in range(2):
                noise = rng.normal(size=(4, 40, 2))
                first, *after = hard + noise
                pairs.append(Compared(task, "accuracy", [first], after, labels))
        got = pooled_difference(pairs)
        wrong += got.low > 0 or got.high < 0
    assert wrong <= 10, "of 100 intervals at 95 %, five should miss"


def test_few_samples_have_no_interval_and_odd_seeds_are_refused() -> None:
    few = drawn("a", 1, n=9)
    assert pooled_difference([few, drawn("b", 2)]).low is None
    pair = drawn("a", 1)
    with pytest.raises(InputError, match="numbers of seeds are 1, 2"):
        pooled_difference([pair, replace(pair, after=[*pair.after] * 2)])
    with pytest.raises(InputError, match="there is no pair"):
        pooled_difference([])
