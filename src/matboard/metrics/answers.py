"""Was the right answer generated? Whole words only: "3" is not in "13", nor "cat" in "caterpillar"."""

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


def generation_correct(text: str, answer: str, candidates: Sequence[str] = ()) -> bool | None:
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
    if {tuple(s) for s in spoken} == {("yes",), ("no",)}:
        words = ["no" if _NOT.fullmatch(word) else word for word in words]
    said = _first_mention(words, spoken)
    return None if said is None else spoken[said] == _words(answer)


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [
        _DIGITS.get(word, word.replace(",", "") if word[0].isdigit() else word)
        for word in _WORD.findall(plain)
    ]


def _first_mention(words: list[str], phrases: Sequence[list[str]]) -> int | None:
    """Index of the phrase that is mentioned first; of those that start there, the longest."""
    longest_first = sorted(range(len(phrases)), key=lambda i: -len(phrases[i]))
    start = 0
    while start < len(words):
        here = next(
            (
                i
                for i in longest_first
                if phrases[i] and words[start : start + len(phrases[i])] == phrases[i]
            ),
            None,
        )
        if here is not None and not _negated(words, start):
            return here
        start += 1 if here is None else len(phrases[here])
    return None


def _negated(words: list[str], start: int) -> bool:
    before = [word for word in words[max(0, start - 2) : start] if word not in _ARTICLES]
    return bool(before) and _NOT.fullmatch(before[-1]) is not None
