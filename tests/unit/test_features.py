"""What is said of features, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from matboard.analysis import drift, embed, silhouette, spread
from matboard.errors import InputError
from matboard.metrics import of_mean

SQUARE = np.array([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]])


def test_the_silhouette_of_four_points_is_that_of_a_calculation_by_hand() -> None:
    """Of each point: 1 to its own class; 3 and √10 to the other, (3 + √10) / 2 on average."""
    to_others = (3 + math.sqrt(10)) / 2
    expected = (to_others - 1) / to_others
    assert silhouette(SQUARE, list("aabb")) == pytest.approx(expected)
    across = silhouette(SQUARE, list("abab"))
    other = (1 + math.sqrt(10)) / 2
    assert across == pytest.approx((other - 3) / 3)


def test_without_two_classes_there_is_no_silhouette() -> None:
    assert silhouette(SQUARE, list("aaaa")) is None
    assert silhouette(SQUARE, list("abcd")) is None
    with pytest.raises(InputError, match="4 pictures need as many labels, but 2 came"):
        silhouette(SQUARE, list("ab"))


def test_drift_is_each_pictures_own_distance() -> None:
    moved = SQUARE + np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    assert drift(SQUARE, moved).tolist() == [5.0, 0.0, 2.0, 1.0]
    with pytest.raises(InputError, match=r"shapes are \(4, 2\) and \(3, 2\)"):
        drift(SQUARE, moved[:3])


def test_spread_is_the_mean_over_all_pairs() -> None:
    pairs = [1.0, 3.0, math.sqrt(10), math.sqrt(10), 3.0, 1.0]
    assert spread(SQUARE) == pytest.approx(sum(pairs) / 6)
    assert spread(SQUARE[:1]) == 0.0


def test_points_far_apart_stay_apart_and_the_same_seed_gives_the_same_drawing() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal(size=(15, 5))
    far = rng.normal(size=(15, 5)) + 40
    points = embed(np.concatenate([near, far]))
    assert points.shape == (30, 2)
    assert np.abs(points).max() == pytest.approx(1)
    between = np.linalg.norm(points[:15].mean(0) - points[15:].mean(0))
    widths = [
        np.linalg.norm(part - part.mean(0), axis=1).max()
        for part in (points[:15], points[15:])
    ]
    assert between > max(widths)
    assert (embed(np.concatenate([near, far])) == points).all()
    with pytest.raises(InputError, match="at least three rows"):
        embed(near[:2])


def test_a_mean_has_students_interval_from_ten_samples_on() -> None:
    values = np.arange(10.0)  # mean 4.5, deviation √(82.5 / 9); t(9) = 2.262
    half = 2.262 * math.sqrt(82.5 / 9) / math.sqrt(10)
    found = of_mean(values)
    assert found.value == 4.5 and found.low == pytest.approx(4.5 - half, abs=1e-3)
    assert found.high == pytest.approx(4.5 + half, abs=1e-3)
    assert of_mean(values[:9]).low is None
