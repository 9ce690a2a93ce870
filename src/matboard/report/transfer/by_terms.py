"""An ablation: which terms of the objective a prompt was learned with, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from matboard.report.curves import title_of
from matboard.report.plain_table import PlainTable, Said, gain_cell
from matboard.report.transfer.drawn import draw_gains
from matboard.report.transfer.gains import Gains
from matboard.report.transfer.views import StudyView
from matboard.results.transfer import Condition, TransferResults


def by_terms(results: TransferResults) -> Iterator[StudyView]:
    """A view where two variants learned with the same differ by one term alone."""
    methods = [method for method in results.methods if method.origin is not None]
    if not any(_ablate(one, other) for one, other in combinations(methods, 2)):
        return
    gains = Gains(results)
    names = list(dict.fromkeys(name for one in methods for name in _terms(one)))
    rows = []
    for method in methods:
        weights = [Said(_weight(_terms(method).get(name))) for name in names]
        found = [gain_cell(gains.of(method, group)) for group in gains.groups]
        rows.append((method.label, (*weights, *found)))
    heads = (
        "learned with",
        *map(title_of, names),
        *(f"gain, {gains.title(group)}" for group in gains.groups),
    )
    yield StudyView(
        slug="terms",
        title="Terms of the objective",
        words=(
            "The weight of each term; – where a prompt was learned without it. A gain is over each"
            " model’s best baseline, with its 95 % interval."
        ),
        tables=(PlainTable("Which terms, and what they gain", heads, tuple(rows)),),
        drawings=tuple(
            draw_gains(
                f"gain, {gains.title(group)}",
                [(method.label, gains.of(method, group)) for method in methods],
            )
            for group in gains.groups
        ),
    )


def _ablate(one: Condition, other: Condition) -> bool:
    """Whether they are one method with and without a single term."""
    if one.method != other.method or one.geometry != other.geometry:
        return False
    return len(_terms(one).keys() ^ _terms(other).keys()) == 1


def _terms(method: Condition) -> dict[str, float]:
    return {} if method.origin is None else method.origin.terms


def _weight(weight: float | None) -> str:
    return "–" if weight is None else f"{weight:g}"
