"""Intervals: numbers that others printed, and what they must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from matboard.errors import InputError
from matboard.metrics import (
    METRICS,
    Estimate,
    difference_over_seeds,
    estimate,
    intervals,
    mean_over_seeds,
    paired_difference,
    score,
    wilson,
)
from matboard.metrics.intervals import interval, t_quantile


def drawn(seed: int, n: int = 200, help: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the labels, of which there are as many of each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    scores = rng.normal(size=(n, 2))
    scores[np.arange(n), labels] += help
    return scores, labels


def fitting(metric: str, scores: np.ndarray) -> np.ndarray:
    """Scores such as a metric takes: VQA accuracy how right an answer is, in [0, 1]."""
    return 1 / (1 + np.exp(-scores)) if metric == "vqa" else scores


def changed(scores: np.ndarray, seed: int, by: float = 0.3) -> np.ndarray:
    return scores + np.random.default_rng(seed).normal(size=scores.shape) * by


def table(right: int, wrong: int, gained: int, lost: int) -> tuple[np.ndarray, ...]:
    """Scores a and b of pairs: right both times, wrong both times, right with b, right with a."""
    a = np.repeat([1, 0, 0, 1], [right, wrong, gained, lost])
    b = np.repeat([1, 0, 1, 0], [right, wrong, gained, lost])
    scores = [np.stack([hits, 1 - hits], axis=1).astype(float) for hits in (a, b)]
    return *scores, np.zeros(len(a), dtype=int)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Table I, method 3: 81/263 → 0.2553 to 0.3662; 0/20 → 0 to 0.1611."""
    got = wilson(successes, n)
    assert (got.low, got.high) == (
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


@pytest.mark.parametrize("n", [1, 3, 7, 10, 49, 1000])
def test_wilson_holds_its_own_value(n: int) -> None:
    for successes in (0, 1 / 3, n / 2, n):
        got = wilson(successes, n)
        assert 0 <= got.low <= got.value <= got.high <= 1


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 30, 999])
def test_quantiles_of_student_s_t(freedom: int) -> None:
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


def test_the_paired_interval_is_bonett_and_price_s() -> None:
    """Their adjusted Wald interval (2012), worked out: 12 gained, 3 lost of 50, with t for z."""
    a, b, labels = table(right=25, wrong=10, gained=12, lost=3)
    got = paired_difference("accuracy", a, b, labels)
    gained = 13 / 52
    lost = 4 / 52
    error = math.sqrt((gained + lost - (gained - lost) ** 2) / 52)
    half = stats.t.ppf(0.975, 49) * error
    assert got.value == pytest.approx(9 / 50)
    assert (got.low, got.high) == pytest.approx(
        (9 / 52 - half, 9 / 52 + half), rel=1e-3
    )


def covered(n: int, gain: float, loss: float) -> float:
    """How often intervals hold the truth, over every table of n pairs (no sampling)."""
    total = 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            kept = n - gained - lost
            chance = stats.multinomial.pmf(
                [gained, lost, kept], n, [gain, loss, 1 - gain - loss]
            )
            if chance > 1e-5:
                got = paired_difference("accuracy", *table(kept, 0, gained, lost))
                total += chance * (got.low <= gain - loss <= got.high)
    return total


@pytest.mark.parametrize(("gain", "loss"), [(0.05, 0.0), (0.15, 0.05), (0.4, 0.4)])
def test_ten_pairs_are_enough_for_an_interval_that_holds_the_truth(
    gain: float, loss: float
) -> None:
    assert covered(10, gain, loss) >= 0.93


def test_the_same_answers_are_no_proof_of_no_difference() -> None:
    """The percentile bootstrap said 0 ± 0 here."""
    got = paired_difference("accuracy", *table(right=10, wrong=0, gained=0, lost=0))
    assert got.value == 0
    assert got.low < -0.2 and got.high > 0.2


@pytest.mark.parametrize("metric", METRICS)
def test_differences_of_nine_samples_have_no_interval(metric: str) -> None:
    scores, labels = drawn(0, n=9)
    other = fitting(metric, changed(scores, 1))
    got = paired_difference(metric, fitting(metric, scores), other, labels)
    assert (got.low, got.high, got.n) == (None, None, 9)
    assert (
        str(Estimate(0.25, None, None, 9)) == "0.250 (n = 9, too few for an interval)"
    )


@pytest.mark.parametrize("metric", ["auc", "f1"])
def test_an_answer_that_hardly_occurs_leaves_no_interval(metric: str) -> None:
    scores, _ = drawn(0, n=40)
    rare = np.arange(40) < 4
    assert estimate(metric, scores, rare.astype(int)).low is None
    assert estimate(metric, scores, 1 - rare).low is None
    assert estimate(metric, scores, (np.arange(40) < 5).astype(int)).low is not None


def test_estimates_enclose_their_value_and_repeat() -> None:
    whole, labels = drawn(3)
    for metric in METRICS:
        scores = fitting(metric, whole)
        got = estimate(metric, scores, labels)
        assert got == estimate(metric, scores, labels)
        assert got.low < got.value == score(metric, scores, labels) < got.high
        assert got.n == 200


@pytest.mark.parametrize("metric", METRICS)
def test_many_samples_give_what_the_bootstrap_gives(metric: str) -> None:
    a, labels = drawn(4, n=400)
    b = fitting(metric, changed(a, 5))
    a = fitting(metric, a)
    rng = np.random.default_rng(6)
    gains = []
    for _ in range(1000):
        chosen = rng.integers(0, 400, 400)
        b_score = score(metric, b[chosen], labels[chosen])
        gains.append(b_score - score(metric, a[chosen], labels[chosen]))
    got = paired_difference(metric, a, b, labels)
    assert got.value == pytest.approx(
        score(metric, b, labels) - score(metric, a, labels)
    )
    assert [got.low, got.high] == pytest.approx(
        np.quantile(gains, [0.025, 0.975]), abs=0.012
    )


@pytest.mark.parametrize("metric", METRICS)
def test_moving_weights_in_groups_gives_the_same_error(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, labels = drawn(4, n=2_000)
    b = fitting(metric, changed(a, 5))
    a = fitting(metric, a)
    in_groups = paired_difference(metric, a, b, labels)
    monkeypatch.setattr(intervals, "_GROUPS", 10_000)
    one_by_one = paired_difference(metric, a, b, labels)
    assert in_groups.low == pytest.approx(one_by_one.low, abs=0.0005)
    assert in_groups.high == pytest.approx(one_by_one.high, abs=0.0005)
    assert in_groups.low != one_by_one.low


def test_pairing_is_narrower_than_two_separate_intervals() -> None:
    a, labels = drawn(9, n=300)
    b = a.copy()
    b[np.arange(40), labels[:40]] += 9
    paired = paired_difference("accuracy", a, b, labels)
    alone = estimate("accuracy", a, labels)
    assert paired.low > 0
    assert paired.high - paired.low < alone.high - alone.low


def test_seeds_widen_the_interval() -> None:
    same, labels = drawn(0, n=400)
    other = same.copy()
    other[np.arange(400), labels] += 2
    one_seed_thrice = mean_over_seeds("accuracy", [same] * 3, labels)
    three_seeds = mean_over_seeds("accuracy", [same, same, other], labels)
    values = [score("accuracy", s, labels) for s in (same, same, other)]
    assert three_seeds.value == pytest.approx(np.mean(values))
    assert three_seeds.high - three_seeds.low > 1.5 * (
        one_seed_thrice.high - one_seed_thrice.low
    )


def test_intervals_stay_within_what_is_possible() -> None:
    labels = np.arange(40) % 2
    right = np.stack([1 - labels, labels], axis=1) * 1.0
    wrong = right[:, ::-1]
    spread = mean_over_seeds("accuracy", [right, right, wrong], labels)
    assert (spread.low, spread.high) == (0.0, 1.0)
    assert (
        difference_over_seeds("accuracy", [wrong], [right, right, wrong], labels).high
        == 1.0
    )


def test_seeds_alone_give_the_t_interval() -> None:
    """Where samples bring no noise, the mean of three values with t(0.975, 2) = 4.3027."""
    values = [0.50, 0.58, 0.66]
    got = interval(values, lambda w: np.full(len(w), 0.58), 10, np.zeros(0))
    half = 4.3027 * np.std(values, ddof=1) / np.sqrt(3)
    assert got.value == pytest.approx(0.58)
    assert [got.low, got.high] == pytest.approx([0.58 - half, 0.58 + half], rel=1e-5)


def test_a_baseline_without_seeds_meets_every_seed() -> None:
    base, labels = drawn(0)
    prompted = [changed(base, s) for s in range(3)]
    once = difference_over_seeds("accuracy", [base], prompted, labels)
    assert once == difference_over_seeds("accuracy", [base] * 3, prompted, labels)
    with pytest.raises(InputError, match="one has 2 seeds and the other 3"):
        difference_over_seeds("accuracy", [base] * 2, prompted, labels)


def test_ties_enter_an_interval_as_parts() -> None:
    scores = np.zeros((20, 2))
    labels = np.arange(20) % 2
    assert estimate("accuracy", scores, labels) == wilson(10, 20)
    better = np.stack([1.0 - labels, labels], axis=1)
    got = paired_difference("accuracy", scores, better, labels)
    assert got.value == 0.5 and 0 < got.low < 0.5 < got.high
