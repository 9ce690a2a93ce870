"""VQA accuracy and yes-rate, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from matboard.errors import InputError
from matboard.metrics import score, vqa_credit


def by_leaving_each_out(said: str, given: list[str]) -> float:
    """As the definition has it: each set of all but one, and those who agree in it."""
    shares = []
    for place in range(len(given)):
        others = given[:place] + given[place + 1 :]
        shares.append(min(1.0, others.count(said) / 3))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("agreeing", range(11))
def test_vqa_credit_is_the_mean_over_sets_of_nine(agreeing: int) -> None:
    given = ["hat"] * agreeing + ["cap"] * (10 - agreeing)
    counted = {word: given.count(word) for word in ("hat", "cap") if word in given}
    found = vqa_credit("hat", list(counted), list(counted.values()))
    assert found == pytest.approx(by_leaving_each_out("hat", given))


def test_vqa_credit_compares_the_whole_text_in_its_normal_form() -> None:
    assert vqa_credit("The two dogs!", ["2 dogs"], [10]) == 1
    assert vqa_credit("two", ["two dogs"], [10]) == 0
    assert vqa_credit("", ["hat"], [10]) == 0


def test_few_people_need_not_agree() -> None:
    assert vqa_credit("cap", ["hat", "cap"]) == 1
    assert vqa_credit("cap", ["hat", "cap"], [2, 1]) == 1
    assert vqa_credit("cap", ["hat", "cap"], [3, 1]) == pytest.approx(0.25)


def test_vqa_accuracy_is_the_mean_credit() -> None:
    rows = np.array([[0.6, 0.4, 0], [1, 0, 0], [0, 1, 0]])
    assert score("vqa", rows, np.zeros(3, int)) == pytest.approx(1.6 / 3)
    with pytest.raises(
        InputError, match="scores run from -3 to -1; judge by generation"
    ):
        score("vqa", np.array([[-1.0, -2], [-3, -2]]), np.zeros(2, int))


def test_yes_rate_counts_yes_whether_true_or_not() -> None:
    scores = np.log([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]])
    assert score("yes-rate", scores, np.array([1, 0, 0, 1])) == pytest.approx(2.5 / 4)
