"""The sign test at several looks, against lists of all that can happen."""

import itertools
from math import comb

import numpy as np
import pytest

from matboard.metrics.sign_test import (
    Tally,
    interval,
    is_shown,
    p_value,
    pictures_to_show,
    wins_needed,
)


def test_one_look_is_the_sign_test_of_textbooks():
    # P(9 or 10 heads of 10) = 11/1024 = 0.0107, P(8 or more) = 56/1024 = 0.0547
    assert wins_needed([10], [0.05]) == [9]
    assert wins_needed([10], [0.055]) == [8]
    assert wins_needed([5], [1 / 32]) == [5]
    assert wins_needed([4], [0.05]) == [5], "no number would do"
    assert wins_needed([0], [0.05]) == [1]
    tally = Tally((30,), (9,), (1,))
    assert p_value(tally, 30) == pytest.approx(11 / 1024)


def all_paths(differing, budgets):
    """Naively: every sequence of wins and losses, all equally likely; the least number of wins at
    each look that keeps what is spent within its budget.
    """
    going = list(itertools.product((0, 1), repeat=differing[-1]))
    total = len(going)
    needed = []
    spent = 0
    for count, budget in zip(differing, budgets, strict=True):
        for least in range(count + 2):
            stopped = [path for path in going if sum(path[:count]) >= least]
            if spent + len(stopped) <= budget * total:
                break
        needed.append(least)
        spent += len(stopped)
        going = [path for path in going if sum(path[:count]) < least]
    return needed, spent / total


@pytest.mark.parametrize(
    "differing", [(4, 8, 12), (0, 5, 9), (6, 6, 11), (3, 13), (10,)]
)
def test_at_several_looks_all_paths_together_spend_what_is_allowed(differing):
    shares = [(look + 1) / len(differing) for look in range(len(differing))]
    for rate in (0.05, 0.1, 0.3):
        budgets = [rate * share**3 for share in shares]
        expected, spent = all_paths(differing, budgets)
        assert wins_needed(differing, budgets) == expected
        assert spent <= rate


def random_tally(rng):
    planned = int(rng.integers(10, 200))
    looks = [-(-planned * part // 3) for part in (1, 2, 3)][: rng.integers(1, 4)]
    differs = rng.random() * 0.8
    wins = rng.random() * 0.7 + 0.3
    kinds = rng.choice(
        [1, -1, 0], planned, p=[differs * wins, differs * (1 - wins), 1 - differs]
    )
    won = tuple(int((kinds[:look] > 0).sum()) for look in looks)
    lost = tuple(int((kinds[:look] < 0).sum()) for look in looks)
    return Tally(tuple(looks), won, lost), planned


def test_test_p_value_and_interval_say_the_same():
    rng = np.random.default_rng(0)
    decisions = set()
    for _ in range(60):
        tally, planned = random_tally(rng)
        rate = 0.05 / int(rng.integers(1, 13))
        shown = is_shown(tally, planned, rate)
        low, high = interval(tally, planned, rate)
        assert -1 <= low <= tally.difference <= high <= 1
        assert (low > 0) == shown == (p_value(tally, planned) <= rate)
        assert interval(tally.turned, planned, rate)[0] == pytest.approx(-high, abs=0.1)
        decisions.add(shown)
    assert decisions == {True, False}


def test_one_look_with_every_picture_differing_is_clopper_and_pearsons():
    """15 of 20 won: the lower end of the chance is where 15 or more have the rate's chance."""
    tally = Tally((20,), (15,), (5,))
    low, _ = interval(tally, 20, 0.05)
    fewest = 0.005 ** (1 / 20)  # all differ: where 20 of 20 have a tenth of the rate's
    chance = (low / fewest + 1) / 2
    tail = sum(
        comb(20, won) * chance**won * (1 - chance) ** (20 - won)
        for won in range(15, 21)
    )
    assert low > 0
    assert tail == pytest.approx(0.05, abs=1e-6)


def test_intervals_hold_the_truth_wherever_one_stops():
    """Stopped as soon as a gain is shown, which favours chance."""
    rng = np.random.default_rng(1)
    missed = 0
    draws = 150
    looks = (10, 20, 30)
    for _ in range(draws):
        kinds = rng.choice([1, -1, 0], 30, p=[0.45, 0.1, 0.45])
        for count in (1, 2, 3):
            won = tuple(int((kinds[:look] > 0).sum()) for look in looks[:count])
            lost = tuple(int((kinds[:look] < 0).sum()) for look in looks[:count])
            tally = Tally(looks[:count], won, lost)
            if is_shown(tally, 30, 0.05):
                break
        low, high = interval(tally, 30, 0.05)
        missed += not low <= 0.35 <= high
    assert missed <= 0.1 * draws


def test_how_many_pictures_it_takes():
    # (1.645 √0.3 + 0.842 √0.26)² / 0.2² = 44.2
    assert pictures_to_show(0.2, 0.3, 0.05) == 45
    assert pictures_to_show(0.2, 0.3, 0.05 / 12) > 45
    assert pictures_to_show(0.1, 0.3, 0.05) > 4 * 40
