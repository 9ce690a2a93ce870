"""Metrics against scikit-learn, loops, and numbers worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from matboard.errors import InputError, UnknownName
from matboard.metrics import METRICS, credit, score, tied_candidates
from matboard.metrics.scores import checked, weighted


def drawn(seed: int, n: int = 200, k: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know something of the labels; equal margins, but no equal candidates."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), labels] += 1
    return scores.round(1) + 0.01 * np.arange(k), labels


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_scikit_learn(seed: int) -> None:
    scores, labels = drawn(seed)
    said = scores.argmax(axis=1)
    margin = scores[:, 1] - scores[:, 0]
    assert score("accuracy", scores, labels) == pytest.approx(
        accuracy_score(labels, said)
    )
    assert score("auc", scores, labels) == pytest.approx(roc_auc_score(labels, margin))
    assert score("f1", scores, labels) == pytest.approx(f1_score(labels, said))
    assert credit(scores, labels).mean() == pytest.approx(accuracy_score(labels, said))


def test_auc_counts_pairs_and_half_the_ties() -> None:
    scores, labels = drawn(7, n=40)
    margins = scores[:, 1] - scores[:, 0]
    pairs = list(itertools.product(margins[labels == 1], margins[labels == 0]))
    wins = sum((up > down) + (up == down) / 2 for up, down in pairs)
    assert score("auc", scores, labels) == pytest.approx(wins / len(pairs))


@pytest.mark.parametrize("metric", METRICS)
def test_weights_are_repetitions(metric: str) -> None:
    scores, labels = drawn(1, n=50)
    if metric == "vqa":  # how right an answer is, in [0, 1]
        scores = 1 / (1 + np.exp(-scores))
    counts = np.random.default_rng(2).integers(0, 4, 50)
    repeated = np.repeat(np.arange(50), counts)
    by_weight = weighted(metric, *checked(scores, labels))(counts[None].astype(float))
    assert by_weight[0] == pytest.approx(
        score(metric, scores[repeated], labels[repeated])
    )


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "vqa"])
def test_a_metric_knows_no_order_of_equal_candidates(metric: str) -> None:
    """18 aardvarks and 2 zebras, both unknown words to the model: 0.90, or 0.10 after renaming."""
    scores = np.tile(np.random.default_rng(0).normal(size=(20, 1)), 2)
    labels = np.array([0] * 18 + [1] * 2)
    assert credit(scores, labels).tolist() == [0.5] * 20
    renamed = score(metric, scores, 1 - labels)
    if metric != "f1":  # which is not the same of either candidate
        assert score(metric, scores, labels) == renamed == 0.5
    else:
        assert score("f1", scores, labels) == pytest.approx(2 / (10 + 2))
        assert renamed == pytest.approx(18 / (10 + 18))


def test_a_tie_among_three_is_a_third() -> None:
    scores = np.array([[-1.0, -1.0, -1.0], [-1.0, -2.0, -1.0], [-3.0, -1.0, -1.0]])
    assert credit(scores, np.array([2, 0, 0])) == pytest.approx([1 / 3, 1 / 2, 0])


def test_candidates_that_a_model_cannot_tell_apart_are_named() -> None:
    animals = ("aardvark", "dog", "zebra", "okapi")
    scores = np.array([[-1.0, -2.0, -1.0, -1.0], [-5.0, -5.0, -5.0, -5.0]])
    assert tied_candidates(scores, [animals] * 2) == [("aardvark", "okapi", "zebra")]
    fewer = np.array([[-1.0, -1.0, -np.inf], [-2.0, -3.0, -2.0]])
    assert tied_candidates(fewer, [("cat", "dog"), ("cat", "dog", "eel")]) == [
        ("cat", "eel")
    ]
    assert tied_candidates(fewer[1:], [("cat", "dog")]) == []


def test_missing_candidates_score_minus_infinity() -> None:
    scores = np.array([[-1.0, -2.0, -np.inf], [-3.0, -np.inf, -1.0]])
    assert score("accuracy", scores, np.array([0, 2])) == 1.0


@pytest.mark.parametrize(
    ("metric", "scores", "labels", "sentence"),
    [
        (
            "auc",
            [[0.0, 1.0]] * 3,
            [1, 1, 1],
            "AUC is not defined on these 3 samples: it needs both answers among the labels. Use",
        ),
        (
            "f1",
            [[0.0, 1.0, 2.0]],
            [1],
            "Metric 'f1' needs 2 candidates, but the scores have 3 columns",
        ),
        (
            "accuracy",
            [[0.0, np.nan]],
            [0],
            r"Scores of 1 samples are not numbers \(first: sample 0\)",
        ),
        (
            "accuracy",
            [[0.0, 1.0]],
            [2],
            "Labels run from 2 to 2, but there are 2 candidates",
        ),
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
    with pytest.raises(
        UnknownName, match=r"nknown metric 'acuracy'\. Did you mean 'accuracy'"
    ):
        score("acuracy", *drawn(0))
