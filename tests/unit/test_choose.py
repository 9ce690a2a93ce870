"""Successive halving: who is asked, who is used, and how often wrongly."""

import numpy as np
import pytest

from matboard.errors import ConfigError
from matboard.transfer.choose import (
    NONE,
    Halving,
    Standing,
    drawn,
    fewest_pictures,
    looks,
    right_or_wrong,
)


def carried_out(halving, right):
    """Answered from a table: name → right or wrong of every picture."""
    asked = []
    while halving.round is not None:
        one = halving.round
        asked.append(one)
        names = (NONE, *one.candidates)
        halving.tell({name: right[name][one.start : one.stop] for name in names})
    return asked


def answers(*ways):
    """``ways`` of (name, wins, losses, pictures): pictures won, then lost, then alike, mixed."""
    right = {}
    for name, won, lost, count in ways:
        own = np.zeros(count, dtype=bool)
        none = np.zeros(count, dtype=bool)
        order = np.random.default_rng(0).permutation(count)
        own[order[:won]] = True
        none[order[won : won + lost]] = True
        right[name] = own
        right.setdefault(NONE, none)
    return right


def test_the_better_half_stays_and_the_best_is_used():
    rng = np.random.default_rng(3)
    none = rng.random(120) < 0.4
    right = {NONE: none}
    for place, more in enumerate((0.0, 0.1, 0.5, 0.2, -0.2)):
        flips = rng.random(120) < abs(more)
        right[f"p{place}"] = none | flips if more > 0 else none & ~flips
    halving = Halving([f"p{place}" for place in range(5)], 120, 0.001)
    asked = carried_out(halving, right)
    assert [len(one.candidates) for one in asked] == [5, 3]
    assert [(one.start, one.stop) for one in asked] == [(0, 40), (40, 80)]
    assert halving.winner == halving.ranking[0] == "p2"
    assert halving.calls == 40 * 6 + 40 * 4
    assert halving.p_value("p2") <= 0.001 < halving.p_value("p0")
    assert halving.interval("p2")[0] > 0 > halving.interval("p4")[0]


def test_prompts_that_have_won_nothing_by_the_middle_are_left():
    rng = np.random.default_rng(0)
    none = rng.random(90) < 0.6
    worse = none & (rng.random(90) < 0.7)
    halving = Halving(["a", "b"], 90, 0.05)
    asked = carried_out(halving, {NONE: none, "a": worse, "b": worse})
    assert [one.stop for one in asked] == [30, 60]
    assert halving.winner is None


def test_a_gain_is_shown_or_not_by_the_number_of_wins():
    """60 pictures, one prompt: 8 wins alone are enough at a rate of 0.05, 4 are not."""
    for won, used in ((8, "a"), (4, None)):
        halving = Halving(["a"], 60, 0.05)
        carried_out(halving, answers(("a", won, 0, 60)))
        assert halving.winner == used


def test_every_candidate_pays_for_the_others():
    """What one prompt alone shows, it does not show among twenty."""
    right = answers(("a", 8, 0, 60))
    others = {f"p{place}": right[NONE] for place in range(19)}
    halving = Halving(["a", *others], 60, 0.05)
    carried_out(halving, right | others)
    assert halving.winner is None
    assert halving.p_value("a") > 0.05


def test_equals_are_ranked_by_name_not_by_the_order_given():
    right = answers(("b", 30, 0, 60)) | {}
    right["a"] = right["b"]
    for names in (["a", "b"], ["b", "a"]):
        halving = Halving(names, 60, 0.05)
        carried_out(halving, right)
        assert halving.winner == "a"


def no_gain(rng, candidates, pictures, alike):
    """Prompts no better than none: each differs from it where a common and an own draw say so,
    and wins there half of the time; as prompts of several seeds do.
    """
    none = rng.random(pictures) < rng.uniform(0.3, 0.7)
    share = rng.uniform(0.05, 0.4)
    common = rng.random(pictures)
    right = {NONE: none}
    for place in range(candidates):
        draws = np.where(rng.random(pictures) < alike, common, rng.random(pictures))
        better = draws < share / 2 / (1 - none.mean())
        worse = draws < share / 2 / max(none.mean(), 1e-9)
        right[f"p{place}"] = np.where(none, ~worse, better)
    return right


def false_uses(worlds, seed):
    rng = np.random.default_rng(seed)
    used = 0
    for world in range(worlds):
        candidates = (1, 4, 12)[world % 3]
        pictures = (30, 60, 120)[world // 3 % 3]
        alike = (0.0, 0.5, 0.9)[world // 9 % 3]
        right = no_gain(rng, candidates, pictures, alike)
        halving = Halving([name for name in right if name != NONE], pictures, 0.05)
        carried_out(halving, right)
        used += halving.winner is not None
    return used


def test_no_gain_is_seldom_taken_for_one():
    """Of 200 choices among prompts that are worth nothing, at most 10 use one."""
    assert false_uses(200, seed=0) <= 10


@pytest.mark.slow
def test_no_gain_is_taken_for_one_at_most_as_often_as_asked():
    assert false_uses(5400, seed=1) <= 0.05 * 5400


def test_a_tie_is_tossed_once_a_picture():
    ids = [f"picture {number}" for number in range(400)]
    half = np.full(400, 0.5)
    tossed = right_or_wrong(half, ids)
    assert 160 < tossed.sum() < 240
    assert (right_or_wrong(half, ids[::-1])[::-1] == tossed).all()
    assert right_or_wrong(np.ones(400), ids).all()
    assert not right_or_wrong(np.zeros(400), ids).any()


def test_the_lot_does_not_depend_on_what_else_there_is():
    ids = [f"{number}" for number in range(100)]
    first = drawn(ids, 20, seed=0)
    assert drawn(reversed(ids), 20, seed=0) == first
    assert drawn(first, 20, seed=0) == first
    assert drawn(ids, 20, seed=1) != first
    assert drawn(ids, 500, seed=0)[:20] == first


def test_rounds_are_thirds():
    assert looks(60) == [20, 40, 60]
    assert looks(8) == [3, 6, 8]


def test_so_few_pictures_show_nothing():
    assert fewest_pictures(1, 0.05) == 5  # 2⁻⁵ = 0.031
    assert fewest_pictures(12, 0.05) == 8  # 2⁻⁸ = 0.0039 < 0.05 / 12


@pytest.mark.parametrize(
    ("names", "pictures", "rate", "sentence"),
    [
        ([], 60, 0.05, "There is no prompt to choose; give at least one."),
        (
            ["none"],
            60,
            0.05,
            "A prompt cannot be called 'none' here: that name is taken. Rename its folder or file.",
        ),
        (
            ["a"],
            60,
            0.5,
            "The error rate is 0.5; expected a number above 0 and below 0.5, such as 0.05.",
        ),
        (
            ["a", "b"],
            5,
            0.05,
            "With 5 labelled pictures no gain can be shown: 2 candidates at an error rate of 0.05"
            " need 6 or more. Give more pictures or fewer prompts.",
        ),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(names, pictures, rate, sentence):
    with pytest.raises(ConfigError) as error:
        Halving(names, pictures, rate)
    assert str(error.value) == sentence


def test_a_standing_counts_from_the_first_picture():
    one = Standing("a")
    one.add(np.array([True, True, False]), np.array([False, True, True]))
    one.add(np.array([True]), np.array([False]))
    assert one.tally.pictures == (3, 4)
    assert one.tally.wins == (1, 2)
    assert one.tally.losses == (1, 1)
    assert one.right == 3
    assert one.tally.difference == 0.25
