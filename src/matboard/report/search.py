"""A search: its trials, the best first, in a terminal and on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matboard.report.dots import Tried, draw_tried
from matboard.report.figures import Drawing
from matboard.report.plain_table import PlainTable, Said
from matboard.report.terminal import Line, fitted
from matboard.report.transfer.views import StudyView
from matboard.report.words import fixed, plural
from matboard.results.search import SearchResults, Trial

if TYPE_CHECKING:
    from rich.console import Group

ORDER = ("complete", "pruned", "running", "failed")


def search_text(results: SearchResults) -> Group:
    """What was tried, and what its scores are."""
    from rich.console import Group
    from rich.text import Text

    lines = []
    for trial in _ranked(results):
        style = "bold" if trial.number == results.best else ""
        cells = tuple(Text(word, style=style) for word in _words(trial, results))
        lines.append(Line(Text(str(trial.number), style=style), cells))
    tables = fitted(["trial", *_heads(results)], lines, always=2)
    return Group(*tables, Text(caption_words(results), style="dim italic"))


def search_lead(results: SearchResults) -> str:
    """The best trial and its values."""
    best = results.best_trial
    values = (
        f"{_short(key, results)} {_shown(best.values.get(key))}"
        for key in results.ranges
    )
    return (
        f"Of {plural(len(results.trials), 'trial')} number {best.number} scores"
        f" {fixed(best.score)}, the best:"
        f" {', '.join(values)}. matboard fit takes its study, {results.config}."
    )


def search_view(results: SearchResults) -> StudyView:
    """The table of trials, and the score over each searched value."""
    rows = tuple(
        (str(trial.number), tuple(Said(word) for word in _words(trial, results)))
        for trial in _ranked(results)
    )
    table = PlainTable("Trials", ("trial", *_heads(results)), rows)
    drawings = [_drawing(key, results) for key in results.ranges]
    words = (
        f"{caption_words(results)}. In the figures a full dot was learned to its end, a hollow one"
        " was given up, and the best has a ring."
    )
    return StudyView("search", "What was tried", words, (table,), tuple(drawings))


def search_rows(results: SearchResults) -> list[dict[str, object]]:
    """A row a trial, the best first, with its values by their keys; nothing rounded."""
    return [
        {
            "trial": trial.number,
            "score": trial.score,
            "ended": trial.state,
            "seconds": trial.seconds,
            **{key: trial.values.get(key) for key in results.ranges},
        }
        for trial in _ranked(results)
    ]


def _drawing(key: str, results: SearchResults) -> Drawing:
    tried = [
        Tried(
            trial.values[key],
            trial.score,
            whole=trial.state == "complete",
            best=trial.number == results.best,
        )
        for trial in results.trials
        if trial.score is not None and key in trial.values
    ]
    log = bool(results.ranges[key].get("log"))
    return draw_tried(_short(key, results), tried, log=log)


def _ranked(results: SearchResults) -> list[Trial]:
    return sorted(results.trials, key=_place)


def _heads(results: SearchResults) -> list[str]:
    """Of the columns beside the trial's number."""
    return ["score", "ended", *(_short(key, results) for key in results.ranges)]


def _words(trial: Trial, results: SearchResults) -> list[str]:
    values = [_shown(trial.values.get(key)) for key in results.ranges]
    return [fixed(trial.score), trial.state, *values]


def _short(key: str, results: SearchResults) -> str:
    return key.removeprefix(f"methods.{results.variant}.")


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
