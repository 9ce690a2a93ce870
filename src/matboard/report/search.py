"""A search in a terminal: its trials, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matboard.report.words import fixed, plural
from matboard.results.search import SearchResults, Trial

if TYPE_CHECKING:
    from rich.console import Group

ORDER = ("complete", "pruned", "running", "failed")


def search_text(results: SearchResults) -> Group:
    """What was tried, and what its scores are."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("trial", "score"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    for key in results.ranges:
        table.add_column(
            key.removeprefix(f"methods.{results.variant}."), overflow="fold"
        )
    for trial in sorted(results.trials, key=_place):
        values = [_shown(trial.values.get(key)) for key in results.ranges]
        style = "bold" if trial.number == results.best else ""
        row = (str(trial.number), fixed(trial.score), trial.state, *values)
        table.add_row(*row, style=style)
    return Group(table, Text(caption_words(results), style="dim italic"))


def caption_words(results: SearchResults) -> str:
    """What the scores are."""
    kept = "the best prompt's" if results.scored == "best" else "the last prompt's"
    count = plural(len(results.trials), "trial")
    return (
        f"{results.variant}, {count} · score: {kept} on held-out training samples, mean over seeds,"
        " tasks and source models; of a pruned trial the last one · the best of many is flattered:"
        " a study on the test part says what it is worth"
    )


def _place(trial: Trial) -> tuple[int, float, int]:
    score = -1.0 if trial.score is None else trial.score
    return ORDER.index(trial.state), -score, trial.number


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
