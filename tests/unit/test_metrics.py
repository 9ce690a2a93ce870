"""Metrics against scikit-learn, loops, and numbers worked out by hand or printed by others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from matboard.errors import InputError, UnknownName
from matboard.metrics import (
    AccuracyMatrix,
    accuracy,
    auc,
    correct,
    difference_over_seeds,
    estimate,
    f1,
    generation_correct,
    generation_score,
    mean_over_seeds,
    paired_difference,
    score,
    wilson,
)
from matboard.metrics.intervals import bootstrap
from matboard.metrics.scores import checked, weighted


def drawn(seed: int, n: int = 200, k: int = 2, help: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties (rounded) that know something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), labels] += help
    return scores.round(1), labels


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_scikit_learn(seed: int) -> None:
    scores, labels = drawn(seed)
    said = scores.argmax(axis=1)
    assert accuracy(scores, labels) == pytest.approx(accuracy_score(labels, said))
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores[:, 1] - scores[:, 0]))
    assert f1(scores, labels) == pytest.approx(f1_score(labels, said))
    assert correct(scores, labels).mean() == pytest.approx(accuracy(scores, labels))


def test_auc_counts_pairs_and_half_the_ties() -> None:
    scores, labels = drawn(7, n=40)
    margins = scores[:, 1] - scores[:, 0]
    pairs = list(itertools.product(margins[labels == 1], margins[labels == 0]))
    assert auc(scores, labels) == pytest.approx(
        sum((up > down) + (up == down) / 2 for up, down in pairs) / len(pairs)
    )


@pytest.mark.parametrize("metric", ["accuracy", "auc", "f1"])
def test_weights_are_repetitions(metric: str) -> None:
    scores, labels = drawn(1, n=50)
    counts = np.random.default_rng(2).integers(0, 4, 50)
    repeated = np.repeat(np.arange(50), counts)
    by_weight = weighted(metric, *checked(scores, labels))(counts[None].astype(float))
    assert by_weight[0] == pytest.approx(score(metric, scores[repeated], labels[repeated]))


def test_missing_candidates_score_minus_infinity() -> None:
    assert (
        accuracy(np.array([[-1.0, -2.0, -np.inf], [-3.0, -np.inf, -1.0]]), np.array([0, 2])) == 1.0
    )


@pytest.mark.parametrize(
    ("metric", "scores", "labels", "sentence"),
    [
        (
            "auc",
            [[0.0, 1.0]] * 3,
            [1, 1, 1],
            "AUC needs both answers among the labels, but all 3 labels are 1",
        ),
        ("f1", [[0.0, 1.0, 2.0]], [1], "needs two candidates"),
        (
            "accuracy",
            [[0.0, np.nan]],
            [0],
            r"Scores of 1 samples are not numbers \(first: sample 0\)",
        ),
        ("accuracy", [[0.0, 1.0]], [2], "Labels run from 2 to 2, but there are 2 candidates"),
        ("accuracy", np.zeros((0, 2)), np.zeros(0), "There is nothing to score"),
        ("accuracy", [[0.0, 1.0]], [0, 1], r"shapes are \(1, 2\) and \(2,\)"),
    ],
)
def test_what_cannot_be_scored_says_why(
    metric: str, scores: list, labels: list, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        score(metric, np.array(scores), np.array(labels))


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(UnknownName, match=r"Unknown metric 'acuracy'\. Did you mean 'accuracy'"):
        score("acuracy", *drawn(0))


# Intervals
# -----------------------------------------------------------------------------------------------------------


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
    gain = correct(b, labels).astype(float) - correct(a, labels)
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
    b[np.arange(15), labels[:15]] += 9
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
        np.mean([accuracy(s, labels) for s in (same, same, other)])
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


# Generated answers
# ---------------------------------------------------------------------------------------------------

ANIMALS = ("cat", "dog", "sea horse", "horse")


@pytest.mark.parametrize(
    ("text", "answer", "candidates", "verdict"),
    [
        ("A cat.", "cat", ANIMALS, True),
        ("It's a CAT, lying on a sofa", "cat", ANIMALS, True),
        ("a caterpillar", "cat", ANIMALS, None),
        ("a sea horse", "sea horse", ANIMALS, True),
        ("a sea horse", "horse", ANIMALS, False),
        ("sea_horse", "sea horse", ANIMALS, True),
        ("It is not a cat but a dog", "dog", ANIMALS, True),
        ("It isn't the dog, it's a cat", "cat", ANIMALS, True),
        ("", "cat", ANIMALS, None),
        ("There are 13 objects.", "3", ("3", "13"), False),
        ("There are three objects.", "3", ("3", "13"), True),
        ("3", "three", ("one", "two", "three"), True),
        ("about 3.5", "3", ("3", "5"), None),
        ("Yes, there is.", "yes", ("no", "yes"), True),
        ("There is not a dog in the image.", "no", ("no", "yes"), True),
        ("There isn’t.", "no", ("no", "yes"), True),
        ("No, but yes later", "yes", ("no", "yes"), False),
        ("I see a dog.", "yes", ("no", "yes"), None),
        ("yesterday", "yes", ("no", "yes"), None),
        ("A café in Paris", "cafe", (), True),
        ("A tearoom", "cafe", (), False),
        ("...", "cafe", (), None),
    ],
)
def test_generated_answers(
    text: str, answer: str, candidates: tuple[str, ...], verdict: bool | None
) -> None:
    assert generation_correct(text, answer, candidates) is verdict


def test_unparsable_answers_count_as_wrong_and_are_counted() -> None:
    got = generation_score(
        ["a cat", "a dog", "hm", "dog"], ["cat", "cat", "dog", "dog"], [ANIMALS] * 4
    )
    assert (got.accuracy.value, got.unparsable, got.accuracy.n) == (0.5, 0.25, 4)


def test_an_answer_that_is_no_candidate_is_refused() -> None:
    with pytest.raises(
        InputError, match="The answer 'cow' is not among the candidates: 'cat', 'dog'"
    ):
        generation_correct("a cow", "cow", ("cat", "dog"))


# The accuracy matrix
# -------------------------------------------------------------------------------------------------

SD_LORA = """97.3
95.1 97.6
91.7 97.5 97.8
87.4 96.4 97.5 94.1
86.2 94.4 95.7 93.6 92.6
84.6 93.7 95.4 93.0 87.7 94.3
84.6 92.7 91.7 91.5 86.7 93.5 89.1
82.2 92.6 91.0 90.2 86.3 92.9 87.1 87.3
79.9 91.0 90.2 88.9 85.4 93.4 86.5 85.1 86.7
79.2 90.8 89.7 87.7 84.5 92.8 84.0 84.7 85.7 93.5"""
"""CIFAR-100 in ten tasks, printed (transposed) in SD-Lora-CL's logs/C100.log."""


@pytest.fixture
def golden() -> AccuracyMatrix:
    values = np.full((10, 10), np.nan)
    for t, line in enumerate(SD_LORA.splitlines()):
        values[t, : t + 1] = np.array(line.split(), dtype=float) / 100
    return AccuracyMatrix(values)


def test_the_printed_run_in_every_definition(golden: AccuracyMatrix) -> None:
    """The log prints 87.26, 92.051 and 6.4111; the others are what each code's formula makes of the
    same matrix.
    """
    assert golden.average_accuracy() == pytest.approx(0.8726)
    assert golden.average_incremental_accuracy() == pytest.approx(0.92051, abs=5e-5)
    assert golden.forgetting() == pytest.approx(0.064111111)
    published = {
        "chaudhry": 6.411,
        "l2p": 6.411,
        "avalanche": 6.411,
        "coda": 1.477,
        "continuum-1.2.7": 6.300,
        "libcontinual": 6.300,
    }
    assert {name: round(100 * golden.forgetting(name), 3) for name in published} == published
    assert golden.backward_transfer() == pytest.approx(-0.06411, abs=5e-6)
    assert golden.backward_transfer_all_stages() == pytest.approx(-0.0538, abs=5e-5)


def test_definitions_part_where_a_task_improves() -> None:
    """By hand: task 1 goes 0.5 → 0.8 → 0.6, task 2 goes 0.7 → 0.9."""
    nan = np.nan
    matrix = AccuracyMatrix(np.array([[0.5, nan, nan], [0.8, 0.7, nan], [0.6, 0.9, 1.0]]))
    assert matrix.forgetting("chaudhry") == pytest.approx((0.2 - 0.2) / 2)
    assert matrix.forgetting("l2p") == pytest.approx((0.2 + 0.0) / 2)
    assert (
        matrix.forgetting("avalanche")
        == pytest.approx((-0.1 - 0.2) / 2)
        == -matrix.backward_transfer()
    )
    assert matrix.forgetting("coda") == pytest.approx((-0.3 + (0.2 - 0.2) / 2) / 2)
    assert matrix.forgetting("continuum-1.2.7") == pytest.approx(0.2 / 2)
    assert matrix.forgetting("libcontinual") == pytest.approx(-0.1 / 2)
    assert matrix.backward_transfer_all_stages() == pytest.approx((0.3 + 0.1 + 0.2) / 3)
    assert matrix.learning_accuracy() == pytest.approx((0.5 + 0.7 + 1.0) / 3)
    assert matrix.average_incremental_accuracy() == pytest.approx((0.5 + 0.75 + 2.5 / 3) / 3)


def test_forward_transfer_needs_the_upper_triangle(golden: AccuracyMatrix) -> None:
    matrix = AccuracyMatrix(np.array([[0.5, 0.3], [0.4, 0.9]]))
    assert matrix.forward_transfer([0.1, 0.2]) == pytest.approx(0.1)
    with pytest.raises(InputError, match="one stage before it is learned"):
        golden.forward_transfer([0.1] * 10)


def test_csv_round_trip(golden: AccuracyMatrix, tmp_path) -> None:
    named = AccuracyMatrix(golden.values, [f"täsk, {i}" for i in range(10)])
    named.to_csv(tmp_path / "matrix.csv")
    back = AccuracyMatrix.from_csv(tmp_path / "matrix.csv")
    np.testing.assert_array_equal(back.values, named.values)
    assert back.tasks == named.tasks
    assert (
        (tmp_path / "matrix.csv")
        .read_text(encoding="utf-8")
        .splitlines()[1]
        .endswith("0.973" + "," * 9)
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[0.5, 0.5]], r"square, stages × tasks, but this one has shape \(1, 2\)"),
        ([[50.0]], "one is 50: divide percentages by 100"),
        ([[0.5, np.nan], [np.nan, 0.5]], "an entry on or below the diagonal is missing"),
    ],
)
def test_what_is_no_accuracy_matrix(values: list, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        AccuracyMatrix(np.array(values))


def test_one_task_has_no_forgetting_and_unknown_definitions_are_named(
    golden: AccuracyMatrix, tmp_path
) -> None:
    with pytest.raises(InputError, match="need at least two tasks"):
        AccuracyMatrix(np.array([[0.5]])).forgetting()
    with pytest.raises(UnknownName, match="Did you mean 'chaudhry'"):
        golden.forgetting("chaudry")
    with pytest.raises(InputError, match="2 different names, but 1 came"):
        AccuracyMatrix(np.eye(2), ["a", "a"])
    (tmp_path / "bad.csv").write_text("trained up to,a\na,high\n")
    with pytest.raises(InputError, match=r"bad.csv is not an accuracy matrix"):
        AccuracyMatrix.from_csv(tmp_path / "bad.csv")
