"""A search in a terminal: its trials, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matboard.report.terminal import Line, fitted
from matboard.report.words import fixed, plural
from matboard.results.search import SearchResults, Trial

if TYPE_CHECKING:
    from rich.console import Group

ORDER = ("complete", "pruned", "running", "failed")


def search_text(results: SearchResults) -> Group:
    """What was tried, and what its scores are."""
    from rich.console import Group
    from rich.text import Text

    keys = [key.removeprefix(f"methods.{results.variant}.") for key in results.ranges]
    lines = []
    for trial in sorted(results.trials, key=_place):
        values = [_shown(trial.values.get(key)) for key in results.ranges]
        style = "bold" if trial.number == results.best else ""
        words = (fixed(trial.score), trial.state, *values)
        cells = tuple(Text(word, style=style) for word in words)
        lines.append(Line(Text(str(trial.number), style=style), cells))
    tables = fitted(["trial", "score", "ended", *keys], lines, always=2)
    return Group(*tables, Text(caption_words(results), style="dim italic"))


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
