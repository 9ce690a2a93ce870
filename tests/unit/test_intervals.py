"""Intervals: numbers that others printed, and what they must do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from matboard.errors import InputError
from matboard.metrics import (
    credit,
    difference_over_seeds,
    estimate,
    mean_over_seeds,
    paired_difference,
    score,
    wilson,
)
from matboard.metrics.intervals import bootstrap


def drawn(seed: int, n: int = 200, k: int = 2, help: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), labels] += help
    return scores, labels


@pytest.mark.parametrize("n", [1, 3, 7, 10, 49, 1000])
def test_wilson_holds_its_own_value(n: int) -> None:
    for successes in (0, 1 / 3, n / 2, n):
        got = wilson(successes, n)
        assert 0 <= got.low <= got.value <= got.high <= 1


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Table I, method 3: 81/263 → 0.2553 to 0.3662; 0/20 → 0 to 0.1611."""
    got = wilson(successes, n)
    assert (got.low, got.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_estimates_enclose_their_value_and_repeat() -> None:
    scores, labels = drawn(3)
    for metric in ("accuracy", "auc", "f1"):
        got = estimate(metric, scores, labels)
        assert got == estimate(metric, scores, labels)
        assert got.low < got.value == score(metric, scores, labels) < got.high
        assert got.n == 200


def test_paired_difference_matches_a_loop() -> None:
    a, labels = drawn(4, n=100)
    b = a + np.random.default_rng(5).normal(size=a.shape) * 0.3
    gain = credit(b, labels) - credit(a, labels)
    rng = np.random.default_rng(6)
    loop = np.quantile(
        [gain[rng.integers(0, 100, 100)].mean() for _ in range(4000)], [0.025, 0.975]
    )
    got = paired_difference("accuracy", a, b, labels)
    assert got.value == pytest.approx(gain.mean())
    assert [got.low, got.high] == pytest.approx(loop, abs=0.015)


def test_a_condition_does_not_differ_from_itself() -> None:
    scores, labels = drawn(8)
    got = paired_difference("auc", scores, scores, labels)
    assert (got.value, got.low, got.high) == (0, 0, 0)


def test_pairing_is_narrower_than_two_separate_intervals() -> None:
    a, labels = drawn(9, n=300)
    b = a.copy()
    b[np.arange(40), labels[:40]] += 9
    paired = paired_difference("accuracy", a, b, labels)
    assert paired.low > 0
    assert (
        paired.high - paired.low
        < estimate("accuracy", a, labels).high - estimate("accuracy", a, labels).low
    )


def test_seeds_widen_the_interval() -> None:
    labels = drawn(0, n=400)[1]
    same, other = drawn(0, n=400)[0], drawn(0, n=400, help=3.0)[0]
    one_seed_thrice = mean_over_seeds("accuracy", [same] * 3, labels)
    three_seeds = mean_over_seeds("accuracy", [same, same, other], labels)
    assert three_seeds.value == pytest.approx(
        np.mean([score("accuracy", s, labels) for s in (same, same, other)])
    )
    assert three_seeds.high - three_seeds.low > 1.5 * (one_seed_thrice.high - one_seed_thrice.low)


def test_intervals_stay_within_what_is_possible() -> None:
    labels = np.arange(40) % 2
    right, wrong = (
        np.stack([1 - labels, labels], axis=1) * 1.0,
        np.stack([labels, 1 - labels], axis=1) * 1.0,
    )
    spread = mean_over_seeds("accuracy", [right, right, wrong], labels)
    assert (spread.low, spread.high) == (0.0, 1.0)
    assert difference_over_seeds("accuracy", [wrong], [right, right, wrong], labels).high == 1.0


def test_seeds_alone_give_the_t_interval() -> None:
    """Where samples bring no noise, the mean of three values with t(0.975, 2) = 4.3027."""
    values = [0.50, 0.58, 0.66]
    got = bootstrap(values, lambda weights: np.full(len(weights), 0.58), 10, seed=0, lowest=-1)
    half = 4.3027 * np.std(values, ddof=1) / np.sqrt(3)
    assert got.value == pytest.approx(0.58)
    assert [got.low, got.high] == pytest.approx([0.58 - half, 0.58 + half], abs=0.03 * half)


@pytest.mark.parametrize(("spread", "at_least"), [(0.0, 0.93), (0.4, 0.90)])
def test_intervals_over_three_seeds_hold_the_truth(spread: float, at_least: float) -> None:
    """Of 100 intervals about 95 hold the accuracy that endless seeds and samples would give: Φ(0.8
    / √(1.25 + spread²)).
    """
    truth = 0.5 * (1 + math.erf(0.8 / math.sqrt(1.25 + spread**2) / math.sqrt(2)))
    rng, hits = np.random.default_rng(0), 0
    for trial in range(100):
        ease, effects = rng.normal(size=60), rng.normal(size=3) * spread
        scores = [
            np.stack([0.8 + e + ease + 0.5 * rng.normal(size=60), np.zeros(60)], axis=1)
            for e in effects
        ]
        got = mean_over_seeds("accuracy", scores, np.zeros(60, dtype=int), seed=trial)
        hits += got.low <= truth <= got.high
    assert hits / 100 >= at_least


def test_a_baseline_without_seeds_meets_every_seed() -> None:
    base, labels = drawn(0)
    prompted = [base + np.random.default_rng(s).normal(size=base.shape) * 0.2 for s in range(3)]
    assert difference_over_seeds("accuracy", [base], prompted, labels) == difference_over_seeds(
        "accuracy", [base] * 3, prompted, labels
    )
    with pytest.raises(InputError, match="one has 2 seeds and the other 3"):
        difference_over_seeds("accuracy", [base] * 2, prompted, labels)


def test_resamples_without_both_answers_are_left_out() -> None:
    scores, labels = np.array([[0.0, -1.0], [0.0, 1.0], [0.0, 2.0]]), np.array([0, 1, 1])
    got = estimate("auc", scores, labels)
    assert (got.low, got.value, got.high) == (1.0, 1.0, 1.0)


def test_bootstrap_covers_what_it_should() -> None:
    """Of 95 % intervals of a mean, about 95 % hold the true mean; 300 trials put that within 90 to
    99 %.
    """
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        data = rng.normal(size=40)
        got = bootstrap(
            [data.mean()], lambda w, x=data: w @ x / w.sum(axis=1), 40, trial, lowest=-1
        )
        hits += got.low < 0 < got.high
    assert 0.90 <= hits / 300 <= 0.99
