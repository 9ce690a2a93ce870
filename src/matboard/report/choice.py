"""The choice of a prompt, as a page and in a terminal: what to use, how sure that is, and how every
prompt did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matboard.metrics.sign_test import pictures_to_show
from matboard.report.html import data_uri, render_template
from matboard.report.run_folder import RunFolder
from matboard.report.words import MARKS, STYLES, fixed, plural, signed
from matboard.results.choice import Candidate, ChoiceResults
from matboard.results.parts import Decision

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

MOST_PICTURES = 100_000
"""Nobody labels more to see whether a prompt helps (guess)."""


def choice_text(results: ChoiceResults) -> Group:
    """The decision, then a table that fits 80 columns."""
    from rich.console import Group
    from rich.text import Text

    decision = Text(f"{decision_words(results)}\n")
    decision.stylize("bold", 0, decision.plain.index(":"))
    caption = Text(caption_words(results), style="dim italic")
    return Group(decision, _table(results), caption)


def render_choice(run: RunFolder, results: ChoiceResults) -> str:
    """The page as text."""
    prompt = None
    if results.prompt is not None:
        prompt = run.file(f"{results.prompt}/preview.png")
    return render_template(
        "choice.html.j2",
        run,
        results=results,
        decision=decision_words(results),
        preview=data_uri(prompt),
        command=run.command,
    )


def decision_words(results: ChoiceResults) -> str:
    """What to do and why, in sentences."""
    best = results.best
    count = plural(best.pictures, "picture")
    what = f"{_signed(best)} in accuracy on {count}, {_between(best)}"
    if results.winner is None:
        closest = f"Closest came {best.name}: {what}."
        asked = plural(len(results.candidates), "candidate")
        lead = f"Use no prompt: of {asked} none has shown a gain."
        return " ".join([lead, closest, *_needed(best, results)])
    return (
        f"Use {best.name}: {what}. {_sure(best.p_value)} (at most"
        f" {results.error_rate:.3g} was asked for)."
    )


def caption_words(results: ChoiceResults) -> str:
    """What the table's numbers are."""
    none = results.none
    saved = f"{results.calls} of the {results.calls_of_all} calls that all on all would take"
    return (
        f"no prompt: {fixed(none.value)} on {none.n} pictures · won, lost: right with the prompt"
        " and wrong without, and the other way round · intervals: all at once"
        f" {results.confidence:.0%}, after selection · ▲ gain shown · {saved}"
    )


def _table(results: ChoiceResults) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("prompt", overflow="fold")
    for head in ("pictures", "accuracy", "won", "lost", "to no prompt", "between"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in results.candidates:
        decision: Decision = "better" if one.gain_shown else "undecided"
        change = f"{_signed(one)}{MARKS[decision] or ' '}"
        table.add_row(
            Text(one.name),
            str(one.pictures),
            fixed(one.accuracy.value, 2),
            str(one.wins),
            str(one.losses),
            Text(change, style=STYLES[decision]),
            _ends(one),
        )
    return table


def _signed(one: Candidate) -> str:
    return signed(one.difference.value, 2)


def _ends(one: Candidate) -> str:
    difference = one.difference
    return f"{signed(difference.low, 2)} {signed(difference.high, 2)}"


def _between(one: Candidate) -> str:
    difference = one.difference
    return f"between {signed(difference.low, 2)} and {signed(difference.high, 2)}"


def _sure(p_value: float) -> str:
    """How often a choice would show such a gain where there is none."""
    chance = "0.0001" if p_value < 1e-4 else f"{p_value:.2g}"
    return (
        "If no prompt were better than none, a gain as clear as this would be seen in at most"
        f" {chance} of all choices"
    )


def _needed(best: Candidate, results: ChoiceResults) -> list[str]:
    """How many pictures would show the gain that was seen, were it the true one."""
    gain = best.difference.value or 0.0
    if gain <= 0:
        return []
    differing = (best.wins + best.losses) / best.pictures
    rate = results.error_rate / len(results.candidates)
    count = pictures_to_show(gain, differing, rate)
    if not best.pictures < count <= MOST_PICTURES:
        return []
    return [f"Were that its true gain, about {count} pictures would show it."]
