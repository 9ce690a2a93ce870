"""What generated answers say."""

from __future__ import annotations

import pytest

from matboard.errors import InputError
from matboard.metrics import generation_correct

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


def test_an_answer_that_is_no_candidate_is_refused() -> None:
    with pytest.raises(
        InputError, match="The answer 'cow' is not among the candidates: 'cat', 'dog'"
    ):
        generation_correct("a cow", "cow", ("cat", "dog"))
