"""Which prompt serves which class: against loops, by hand, with associations that were planted."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from matboard.analysis import Selection, pooled, selection
from matboard.errors import InputError

CLASSES = [f"class {c}" for c in range(7)]


def draw(seed: int, n: int = 200, bond: float = 0.0) -> tuple[Any, ...]:
    """Samples whose similarity to prompt (class mod 6) is raised by ``bond``; the two most similar
    are chosen.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, n)
    similarity = rng.normal(size=(n, 6))
    similarity[np.arange(n), labels % 6] += bond
    chosen = np.argsort(-similarity, axis=1)[:, :2]
    return chosen, similarity, labels, CLASSES


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_loops_over_samples(seed: int) -> None:
    chosen, similarity, labels, classes = draw(seed, bond=0.5)
    found = selection(chosen, similarity, labels, classes, permutations=9)
    pairs = [
        (int(label), int(prompt))
        for label, row in zip(labels, chosen)
        for prompt in row
    ]
    for c in range(len(classes)):
        mine = [i for i in range(len(labels)) if labels[i] == c]
        row = [sum(m in chosen[i] for i in mine) / len(mine) for m in range(6)]
        assert found.frequency[c] == pytest.approx(row)
        assert sum(row) == pytest.approx(2)
        entropy = -sum(x / 2 * math.log2(x / 2) for x in row if x)
        assert found.class_entropy[c] == pytest.approx(entropy)
        means = [sum(similarity[i, m] for i in mine) / len(mine) for m in range(6)]
        assert found.similarity[c] == pytest.approx(means)
        assert found.samples[c] == len(mine)
    assert found.mutual_information == pytest.approx(information(pairs))
    usage = [sum(b == m for _, b in pairs) / len(pairs) for m in range(6)]
    assert found.usage == pytest.approx(usage)


def test_a_case_computed_by_hand() -> None:
    """Two classes; cats always take prompts 0 and 1, dogs 0 and 2; prompt 3 serves nobody.

    H(class) + H(prompt) − H(both) = 1 + 1.5 − 2, which 2 of the 6 ways to label two of four samples
    as cats reach.
    """
    found = selection(
        np.array([[0, 1], [1, 0], [2, 0], [0, 2]]),
        np.eye(4),
        np.array([0, 0, 1, 1]),
        ["cat", "dog"],
    )
    assert found.frequency.tolist() == [[1, 1, 0, 0], [1, 0, 1, 0]]
    assert found.usage.tolist() == [0.5, 0.25, 0.25, 0]
    assert found.usage_entropy == 1.5
    assert found.class_entropy.tolist() == [1, 1]
    assert found.dead == (3,)
    assert found.mutual_information == pytest.approx(0.5)
    assert found.p_value == pytest.approx(1 / 3, abs=0.05)
    assert found.similarity.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def test_a_vote_of_the_whole_batch_shows_no_relation() -> None:
    _, similarity, labels, classes = draw(0)
    found = selection(
        np.tile([4, 1], (200, 1)), similarity, labels, classes, permutations=99
    )
    assert (found.mutual_information, found.p_value) == (0, 1)
    assert found.usage_entropy == 1
    assert found.dead == (0, 2, 3, 5)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_association_is_found(seed: int) -> None:
    assert selection(*draw(seed, bond=1.5), permutations=199).p_value <= 0.01


def check_p_values(p_values: list[float]) -> None:
    """Of 200 below 0.05, 10 are expected; more than 20 have a probability of 0.001."""
    assert sum(p <= 0.05 for p in p_values) <= 20
    assert 0.4 < np.mean(p_values) < 0.6


def test_independence_is_rejected_about_as_often_as_promised() -> None:
    found = [
        selection(*draw(seed, n=60), permutations=99, seed=seed) for seed in range(200)
    ]
    check_p_values([one.p_value for one in found])


def test_same_seed_same_p() -> None:
    first, again, other = (
        selection(*draw(1, bond=0.2), permutations=99, seed=seed).p_value
        for seed in (3, 3, 4)
    )
    assert first == again != other


def test_a_class_without_samples_has_no_numbers_and_counts_for_nothing() -> None:
    chosen, similarity, labels, classes = draw(0)
    found = selection(chosen, similarity, labels, [*classes, "ghost"], permutations=9)
    assert np.isnan(
        [*found.frequency[-1], *found.similarity[-1], found.class_entropy[-1]]
    ).all()
    assert found.samples[-1] == 0
    without = selection(chosen, similarity, labels, classes, permutations=9)
    assert found.mutual_information == pytest.approx(without.mutual_information)
    assert np.isfinite(without.frequency).all()


def draw_orders(
    seed: int, orders: int = 3, n: int = 60, bond: float = 0.0, alike: float = 0.9
) -> list[tuple[Any, ...]]:
    """The same pictures seen through several pools: ``alike`` is how much of a similarity the pools
    share.
    """
    _, common, labels, classes = draw(seed, n, bond=bond)
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(orders):
        similarity = alike * common + (1 - alike) * rng.normal(size=common.shape)
        found.append(
            (np.argsort(-similarity, axis=1)[:, :2], similarity, labels, classes)
        )
    return found


def information(pairs: list[tuple[int, int]]) -> float:
    """Mutual information in bits, pair by pair."""
    total = 0.0
    for c, m in set(pairs):
        joint = pairs.count((c, m)) / len(pairs)
        of_class = sum(a == c for a, _ in pairs) / len(pairs)
        of_prompt = sum(b == m for _, b in pairs) / len(pairs)
        total += joint * math.log2(joint / (of_class * of_prompt))
    return total


@pytest.mark.parametrize(("seed", "bond"), [(0, 0.0), (1, 0.5), (2, 0.3)])
def test_orders_are_pooled_as_loops_would(seed: int, bond: float) -> None:
    orders = draw_orders(seed, n=40, bond=bond, alike=0.6)

    def mean(shuffle: np.ndarray) -> float:
        total = 0.0
        for chosen, _, labels, _ in orders:
            dealt = labels[shuffle]
            pairs = [(int(c), int(m)) for c, row in zip(dealt, chosen) for m in row]
            total += information(pairs)
        return total / len(orders)

    found = pooled([selection(*order, permutations=29, seed=seed) for order in orders])
    rng = np.random.default_rng(seed)
    statistic = mean(np.arange(40))
    shuffled = [mean(rng.permutation(40)) for _ in range(29)]
    assert found.mutual_information == pytest.approx(statistic)
    assert found.by_chance == pytest.approx(sum(shuffled) / 29)
    assert (
        found.p_value == (1 + sum(value >= statistic - 1e-9 for value in shuffled)) / 30
    )
    assert found.permutations == 29


def test_an_order_pooled_with_itself_tells_nothing_new() -> None:
    one = selection(*draw(3, bond=0.2), permutations=99)
    alone = pooled([one])
    thrice = pooled([one] * 3)
    assert 1 / 100 < one.p_value == alone.p_value == thrice.p_value
    assert thrice.mutual_information == pytest.approx(one.mutual_information)


def test_pooled_orders_that_choose_alike_are_rejected_about_as_often_as_promised() -> (
    None
):
    p_values = []
    for seed in range(200):
        found = [selection(*order, permutations=39) for order in draw_orders(seed)]
        p_values.append(pooled(found).p_value)
    check_p_values(p_values)


def test_pooled_orders_find_what_each_alone_may_miss() -> None:
    missed_alone = 0
    missed_together = 0
    for seed in range(10):
        orders = draw_orders(seed, 5, bond=0.8, alike=0.5)
        found = [selection(*order, permutations=199) for order in orders]
        missed_alone += sum(one.p_value > 0.01 for one in found)
        missed_together += pooled(found).p_value > 0.01
    assert missed_alone >= 5
    assert missed_together * 5 < missed_alone


def test_selections_that_do_not_pair_up_are_not_pooled() -> None:
    one = selection(*draw(0), permutations=9)
    content = one.as_json()
    del content["shuffled"]
    bare = Selection.from_json(content)
    assert bare.p_value == one.p_value
    with pytest.raises(
        InputError, match="No selection came, but at least one is needed"
    ):
        pooled([])
    with pytest.raises(
        InputError, match=r"saved without its shuffles, .*; make it again"
    ):
        pooled([one, bare])
    other = selection(*draw(1), permutations=9)
    with pytest.raises(
        InputError, match="differ in their classes, samples or permutations"
    ):
        pooled([one, other])


def test_json_holds_everything() -> None:
    chosen, similarity, labels, classes = draw(0)
    found = selection(chosen, similarity, labels, [*classes, "ghost"], permutations=9)
    text = json.dumps(found.as_json(), allow_nan=False)
    again = Selection.from_json(json.loads(text))
    assert json.dumps(again.as_json()) == text
    np.testing.assert_array_equal(again.frequency, found.frequency)


GOOD = {
    "chosen": [[0, 1], [1, 2]],
    "similarity": [[0.0] * 3] * 2,
    "labels": [0, 1],
    "classes": ["a", "b"],
}
SHAPES = (
    "2 labels need chosen prompts n × k and similarities n × M, but their shapes are "
)
NOTHING = "A selection needs labels of shape n and at least one class: "
WRONG = [
    ({"chosen": [0, 1]}, SHAPES + "(2,) and (2, 3)."),
    ({"similarity": [[0.0] * 3]}, SHAPES + "(2, 2) and (1, 3)."),
    (
        {"chosen": [[0, 1], [1, 3]]},
        "A chosen prompt is an index from 0 to 2, but one is 3.",
    ),
    (
        {"chosen": [[0, 1], [1, -1]]},
        "A chosen prompt is an index from 0 to 2, but one is -1.",
    ),
    (
        {"chosen": [[0.0, 1], [1, 2]]},
        "A chosen prompt is an index, so of an integer type, but this one is float64.",
    ),
    ({"labels": [0, 2]}, "A label is an index from 0 to 1, but one is 2."),
    (
        {"chosen": [[0, 1], [1, 1]]},
        "Every sample chooses at least one prompt, and none twice.",
    ),
    ({"labels": []}, NOTHING + "labels have shape (0,), classes are 2."),
    ({"classes": []}, NOTHING + "labels have shape (2,), classes are 0."),
    (
        {"similarity": [[0.0, 0.0, math.nan]] * 2},
        "Similarities are finite numbers, but one is not.",
    ),
    (
        {"permutations": 0},
        "A permutation test needs at least one permutation, but 0 came.",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_wrong_input_is_named(change: dict[str, Any], sentence: str) -> None:
    given = GOOD | change
    arrays = [np.array(given[name]) for name in ("chosen", "similarity", "labels")]
    with pytest.raises(InputError) as error:
        selection(*arrays, given["classes"], permutations=given.get("permutations", 9))
    assert str(error.value) == sentence


def test_a_broken_file_is_named() -> None:
    chosen, similarity, labels, classes = draw(0)
    content = selection(chosen, similarity, labels, classes, permutations=9).as_json()
    with pytest.raises(
        InputError, match=r"^This is not a saved selection: 'usage' is missing\.$"
    ):
        Selection.from_json(
            {name: value for name, value in content.items() if name != "usage"}
        )
    with pytest.raises(
        InputError, match=r"its arrays do not fit 7 classes × 5 prompts\.$"
    ):
        Selection.from_json(content | {"prompts": 5})
    with pytest.raises(InputError, match=r"it holds 2 of 9 shuffles\.$"):
        Selection.from_json(content | {"shuffled": [0.1, 0.2]})
