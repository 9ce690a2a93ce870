"""Was the right answer generated? Whole words only: "3" is not in "13", nor "cat" in
"caterpillar".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from matboard.errors import InputError

_NUMBERS = """zero one two three four five six seven eight nine ten
eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"""
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:'[^\W_]+)?")
_NOT = re.compile(r"not|none|\w+n't")
_ARTICLES = {"a", "an", "the"}


def generation_correct(
    text: str, answer: str, candidates: Sequence[str] = ()
) -> bool | None:
    """Does the generated text give the answer?

    The first candidate that the text mentions is what it says, longer candidates taking precedence
    ("French horn" before "horn"). Case, punctuation, accents and number words ("three" = "3") make
    no difference; a negated mention ("not a cat") is none. Among yes and no, "not" says no.

    Args:
        candidates: what could have been said; empty for open answers, which are right where they
            hold the answer.

    Returns:
        None where the text names no candidate. Open answers are None only where the text is empty.
    """
    if candidates and answer not in candidates:
        raise InputError(
            f"The answer {answer!r} is not among the candidates:"
            f" {', '.join(map(repr, candidates))}."
        )
    words = _words(text)
    if not candidates:
        return _first_mention(words, [_words(answer)]) is not None if words else None
    spoken = [_words(candidate) for candidate in candidates]
    if {tuple(phrase) for phrase in spoken} == {("yes",), ("no",)}:
        words = ["no" if _NOT.fullmatch(word) else word for word in words]
    said = _first_mention(words, spoken)
    return None if said is None else spoken[said] == _words(answer)


def normal_form(text: str) -> str:
    """A text without case, punctuation, accents and articles, its numbers in digits."""
    return " ".join(word for word in _words(text) if word not in _ARTICLES)


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return [_number(word) for word in _WORD.findall(plain)]


def _number(word: str) -> str:
    """A number in digits without separators of thousands; other words as they are."""
    if word[0].isdigit():
        return word.replace(",", "")
    return _DIGITS.get(word, word)


def _first_mention(words: list[str], phrases: Sequence[list[str]]) -> int | None:
    """Index of the phrase that is mentioned first; of those that start there, the longest."""
    start = 0
    while start < len(words):
        here = _longest_at(words, start, phrases)
        if here is not None and not _negated(words, start):
            return here
        start += 1 if here is None else len(phrases[here])
    return None


def _longest_at(
    words: list[str], start: int, phrases: Sequence[list[str]]
) -> int | None:
    """Index of the longest phrase that starts there; among equals the first."""
    found = None
    longest = 0
    for index, phrase in enumerate(phrases):
        if len(phrase) > longest and words[start : start + len(phrase)] == phrase:
            found = index
            longest = len(phrase)
    return found


def _negated(words: list[str], start: int) -> bool:
    before = [
        word for word in words[max(0, start - 2) : start] if word not in _ARTICLES
    ]
    return bool(before) and _NOT.fullmatch(before[-1]) is not None
