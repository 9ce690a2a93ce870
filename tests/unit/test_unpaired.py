"""Differences between values that were measured on different samples."""

from __future__ import annotations

import numpy as np
import pytest

from matboard.metrics import unpaired_difference, wilson
from matboard.metrics.intervals import Estimate


def test_the_intervals_that_newcombe_printed():
    """Table II of Newcombe (1998), method 10: 56/70 − 48/80, and 9/10 − 3/10."""
    found = unpaired_difference(wilson(48, 80), wilson(56, 70))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.n == 150
    small = unpaired_difference(wilson(3, 10), wilson(9, 10))
    assert (small.low, small.high) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_turned_round_it_is_the_same_with_the_other_sign():
    a, b = wilson(3, 40), wilson(20, 31)
    there, back = unpaired_difference(a, b), unpaired_difference(b, a)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )


def test_no_interval_where_one_of_them_has_none():
    few = Estimate(0.5, None, None, 4)
    found = unpaired_difference(few, wilson(30, 40))
    assert (found.value, found.low, found.high) == (0.25, None, None)


def test_it_holds_the_truth_95_times_in_100():
    rng = np.random.default_rng(0)
    held = 0
    for a, b in zip(
        rng.binomial(60, 0.3, 1000).tolist(), rng.binomial(25, 0.45, 1000).tolist()
    ):
        found = unpaired_difference(wilson(a, 60), wilson(b, 25))
        held += found.low <= 0.15 <= found.high
    assert 930 <= held <= 980
