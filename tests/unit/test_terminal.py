"""Tables in a terminal of 80 columns: nothing is cut, nothing is lost, no number is broken."""

from __future__ import annotations

import io
import random

import pytest
from made_transfer import FULL, baselines, make_transfer, method
from rich.console import Console, RenderableType
from rich.text import Text

from matboard.report import search_text, transfer_table_text
from matboard.report.plain_table import PlainTable, Said, as_rich
from matboard.report.terminal import Line, fitted, side_by_side
from matboard.results.search import SearchResults, Trial


def printed(*shown: RenderableType) -> str:
    console = Console(width=80, file=io.StringIO())
    for one in shown:
        console.print(one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_columns_that_find_no_room_stand_below() -> None:
    assert list(side_by_side(20, [8] * 9, 3)) == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 6, 7, 8],
    ]
    assert list(side_by_side(20, [8] * 3, 3)) == [[0, 1, 2]]
    assert list(side_by_side(20, [90, 8])) == [[0], [1]]  # too wide for any table


@pytest.mark.parametrize("seed", range(12))
def test_every_cell_is_printed_whole_within_80_columns(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randint(1, 12)
    heads = [f"{'h' * draw.randint(1, 30)}{place}" for place in range(count)]
    always = draw.randint(0, min(3, count))
    lines = [Line(Text("a part of it\nwith facts of some length " * 3), section=True)]
    cells = []
    for row in range(4):
        words = [f"{row}.{place}{'7' * draw.randint(1, 12)}" for place in range(count)]
        cells += words
        name = f"{row}-{'n' * draw.randint(1, 40)}"
        lines.append(Line(Text(name), tuple(Text(word) for word in words)))
    text = printed(*fitted(["model", *heads], lines, always=always, title="A title"))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text and text.count("A title") == 1
    said = text.split()
    assert all(cell in said for cell in cells)
    together = "".join(text.split())
    assert all(together.count("h" * 16) > 0 for head in heads if len(head) > 17)


def test_long_names_of_methods_are_broken_between_words_and_none_is_lost() -> None:
    names = [f"tvp@tiny-MiniGPT-4 prompt.width={place}" for place in range(10, 15)]
    shown = [FULL, *baselines(), *(method(name) for name in names)]
    results = make_transfer(shown=shown)
    text = printed(transfer_table_text(results))
    assert all(len(line) <= 80 for line in text.splitlines()) and "…" not in text
    words = text.split()
    assert all(str(place) in words for place in range(10, 15))
    assert words.count("tiny-MiniGPT-4") == len(names)
    for cell in results.cells:
        assert any(word.startswith(f"{cell.value:.3f}") for word in words)


def test_a_search_of_many_keys_fits() -> None:
    keys = [f"objective.feature_consistency.weight{place}" for place in range(9)]
    values = {key: 0.00012345 * (place + 1) for place, key in enumerate(keys)}
    results = SearchResults(
        variant="tvp",
        scored="best",
        validation={},
        ranges={key: {"low": 0, "high": 1} for key in keys},
        seed=0,
        pruner="median",
        trials=(Trial(number=3, state="complete", values=values, score=0.5),),
        best=3,
    )
    text = printed(search_text(results))
    assert all(len(line) <= 80 for line in text.splitlines())
    for value in values.values():
        assert f"{value:.4g}" in text.split()
    assert text.split().count("complete") > 1  # beside every part


def test_a_table_of_words_fits() -> None:
    heads = ("", *(f"a condition of {place}" for place in range(8)))
    row = tuple(Said(f"+0.{place}00 ▲", "[+0.086, +0.205]") for place in range(8))
    text = printed(as_rich(PlainTable("Gains", heads, (("a model", row),), "a note")))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(f"+0.{place}00" in text for place in range(8)) and "a note" in text
    assert text.count("[+0.086, +0.205]") == 8
