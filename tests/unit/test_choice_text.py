"""What a choice says, in a terminal and on its page."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from recorded_runs import CHOICE, text_of
from rich.console import Console

from matboard.report import choice_text, write_report
from matboard.report.choice import decision_words
from matboard.report.words import fixed
from matboard.results import ChoiceResults, read


def said(results: ChoiceResults, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(choice_text(results))
    return captured.get()


def candidate(
    name: str, wins: int, losses: int, low: float, **more: Any
) -> dict[str, Any]:
    gain = (wins - losses) / 60
    return {
        "name": name,
        "pictures": 60,
        "wins": wins,
        "losses": losses,
        "accuracy": {"value": 0.5 + gain, "low": 0.4, "high": 0.9, "n": 60},
        "difference": {"value": gain, "low": low, "high": 0.5, "n": 60},
        "p_value": 0.0041,
        "gain_shown": low > 0,
        **more,
    }


def choice(*candidates: dict[str, Any], **more: Any) -> ChoiceResults:
    content: dict[str, Any] = {
        "error_rate": 0.05,
        "confidence": 0.9,
        "pictures": 60,
        "rounds": (20, 40, 60),
        "none": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 60},
        "candidates": candidates,
        "winner": None,
        "calls": 200,
        "calls_of_all": 240,
    }
    return ChoiceResults.model_validate(content | more)


def test_a_prompt_to_use_is_named_with_how_sure_that_is() -> None:
    text = said(choice(candidate("tvp-s1", 16, 4, 0.02), winner="tvp-s1"), width=400)
    assert text.startswith(
        "Use tvp-s1: +0.20 in accuracy on 60 pictures, between +0.02 and +0.50. If no prompt were"
        " better than none, a gain as clear as this would be seen in at most 0.0041 of all choices"
        " (at most 0.05 was asked for)."
    )
    assert "+0.20▲" in text
    assert "200 of the 240 calls" in text


def test_no_prompt_is_said_plainly_and_how_many_pictures_would_do() -> None:
    text = said(choice(candidate("tvp-s1", 10, 4, -0.05)), width=400)
    assert text.startswith(
        "Use no prompt: of 1 candidate none has shown a gain. Closest came tvp-s1: +0.10 in"
        " accuracy on 60 pictures, between −0.05 and +0.50. Were that its true gain, about 143"
        " pictures would show it."
    )
    worse = said(choice(candidate("tvp-s1", 4, 10, -0.4)))
    assert "would show it" not in worse


def test_it_fits_eighty_columns() -> None:
    results = read(CHOICE)
    assert isinstance(results, ChoiceResults)
    text = said(results)
    assert all(len(line) <= 80 for line in text.splitlines())
    names = {one.name for one in results.candidates}
    assert len(names) == len(results.candidates) > 2
    column = "".join(line.strip().split("  ")[0] for line in text.splitlines())
    for name in names:  # a long one goes on in the next line
        assert name.replace(" ", "") in column.replace(" ", "")


def test_the_page_says_the_same(tmp_path: Path) -> None:
    page = text_of(write_report(CHOICE, tmp_path / "page.html").read_text())
    results = read(CHOICE)
    assert isinstance(results, ChoiceResults)
    assert decision_words(results) in page
    for one in results.candidates:
        row = f"{one.name} {one.pictures} {fixed(one.accuracy.value)} {one.wins} {one.losses}"
        assert row in page
    assert "matboard select" in page
    assert "The prompt to use" not in page


@pytest.mark.parametrize(
    ("candidates", "winner", "words"),
    [
        (("a",), "a", "the winner 'a' has shown no gain"),
        (("b",), None, "'b' has shown a gain, yet nothing is chosen"),
        (("a", "a"), None, "two candidates have one name"),
    ],
)
def test_a_decision_that_does_not_follow_cannot_be_written(
    candidates: tuple[str, ...], winner: str | None, words: str
) -> None:
    lows = {"a": -0.1, "b": 0.1}
    made = [candidate(name, 9, 1, lows[name]) for name in candidates]
    with pytest.raises(ValidationError, match=words):
        choice(*made, winner=winner)
