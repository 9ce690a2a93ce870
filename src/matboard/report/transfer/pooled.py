"""Gains over several models and tasks at once, arranged for reading and said in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matboard.report.words import ENOUGH_SEEDS, MARKS, join, percent, plural, signed
from matboard.results.parts import Decision, Difference
from matboard.results.transfer import (
    GROUPS,
    SCORERS,
    Condition,
    Contrast,
    Pooled,
    Scorer,
    TransferResults,
)

POOLED_TITLES: dict[Pooled, str] = {
    "source": "source",
    "same": "sharing the source’s encoder",
    "other": "with another encoder",
    "unknown": "with an encoder that is not known",
    "unseen": "all unseen",
    "untaught": "that it was not learned on",
}
WHERE: dict[Pooled, str] = {
    "source": "on the source",
    "same": "on models that share the source’s encoder",
    "other": "on models with another encoder",
    "unknown": "on models whose encoder is not known",
    "unseen": "on all unseen models",
    "untaught": "on models that it was not learned on",
}
DECIDED: dict[Decision, str] = {
    "better": "a decided gain",
    "worse": "a decided loss",
    "undecided": "undecided",
}


VERBS: dict[Decision, tuple[str, str]] = {
    "better": ("gains", "gain"),
    "worse": ("loses", "lose"),
    "undecided": ("is undecided", "are undecided"),
}
"""For one method and for several."""
NAMED = 6
"""Methods that a sentence names; of more it counts (guess)."""


@dataclass(frozen=True)
class PooledRow:
    """A method against the best baselines, or against another method, read by one scorer: group →
    what it gains.
    """

    label: str
    scorer: Scorer
    contrasts: dict[Pooled, Contrast]


@dataclass(frozen=True)
class PooledTable:
    """What was measured over one task, or over all of them, by every scorer.

    Attributes:
        task: None for all.
        gains: over each model's best baseline.
        pairs: of one method over another.
        seeds: how many prompts stand behind each method, at least.
    """

    task: str | None
    groups: tuple[Pooled, ...]
    gains: tuple[PooledRow, ...]
    pairs: tuple[PooledRow, ...]
    seeds: int

    @property
    def enough_seeds(self) -> bool:
        """Whether intervals speak of methods, and not only of the prompts at hand."""
        return self.seeds >= ENOUGH_SEEDS

    @property
    def intervals(self) -> int:
        """How many differences it holds."""
        return sum(len(row.contrasts) for row in (*self.gains, *self.pairs))

    @property
    def heads(self) -> list[tuple[str, int]]:
        """What each column is called, and how many models it stands for at most."""
        heads = []
        for group in self.groups:
            counts = [
                row.contrasts[group].models
                for row in self.gains
                if group in row.contrasts
            ]
            heads.append((POOLED_TITLES[group], max(counts)))
        return heads


def pooled_tables(results: TransferResults) -> list[PooledTable]:
    """Over all tasks; behind it, where there are several, task by task. None without contrasts."""
    by_task: dict[str | None, list[Contrast]] = {}
    for one in results.contrasts:
        by_task.setdefault(one.task, []).append(one)
    return [_table(results, task, found) for task, found in by_task.items()]


def _table(
    results: TransferResults, task: str | None, found: Sequence[Contrast]
) -> PooledTable:
    rows: dict[tuple[str, str | None, Scorer], dict[Pooled, Contrast]] = {}
    for method in dict.fromkeys((one.method, one.against) for one in found):
        for scorer in SCORERS:
            rows[*method, scorer] = {}
    for one in found:
        rows[one.method, one.against, one.scorer][one.group] = one
    gains = []
    pairs = []
    for (name, against, scorer), by_group in rows.items():
        if not by_group:
            continue
        label = results.condition(name).label
        if against is None:
            gains.append(PooledRow(label, scorer, by_group))
        else:
            label = f"{label} − {results.condition(against).label}"
            pairs.append(PooledRow(label, scorer, by_group))
    known = {one.group for one in found}
    order: tuple[Pooled, ...] = (*GROUPS, "unseen", "untaught")
    groups = tuple(group for group in order if group in known)
    methods = {method.name for method in results.methods}
    counts = (one.seeds for one in found if one.method in methods)
    seeds = min(counts, default=0)
    return PooledTable(task, groups, tuple(gains), tuple(pairs), seeds)


def gained(difference: Difference) -> str:
    """``+0.071 [+0.020, +0.122]``."""
    if difference.too_few:
        return f"{signed(difference.value)} (too few samples)"
    ends = f"{signed(difference.low)}, {signed(difference.high)}"
    return f"{signed(difference.value)} [{ends}]"


def marked(difference: Difference) -> str:
    """The same with ▲ or ▼ where it is decided."""
    return f"{gained(difference)} {MARKS[difference.decision]}".rstrip()


def unparsable(share: float | None) -> str:
    """``92 % unparsable``; nothing where every answer named a candidate."""
    return f"{percent(share)} unparsable" if share else ""


# -- in words ----------------------------------------------------------------------------------


def who_gains(results: TransferResults, judged: Sequence[Condition]) -> str:
    """Group by group, which methods gain over the best baselines and which lose."""
    scorer = results.scorers[0]
    groups = dict.fromkeys(one.group for one in _over_best(results, scorer))
    parts = []
    for group in groups:
        if group == "unseen":
            continue
        labels: dict[Decision, list[str]] = {}
        for one in _over_best(results, scorer):
            for method in judged:
                if (one.group, one.method) == (group, method.name):
                    said = labels.setdefault(one.difference.decision, [])
                    said.append(method.label)
        parts.append(f"{_where(results, group)} {_said(labels)}")
    return f"{_capital('; '.join(parts))}."


def _where(results: TransferResults, group: Pooled) -> str:
    """On which models, in words; a study may have several sources."""
    words = WHERE[group]
    if len(results.sources) > 1:
        words = words.replace("the source’s", "a source’s")
        words = words.replace("the source", "the sources")
    return words


def _said(labels: Mapping[Decision, Sequence[str]]) -> str:
    """``VP and TVP gain, EVP is undecided``; of many only how many: ``of 12 prompts 5 gain, 7 are
    undecided``.
    """
    total = sum(map(len, labels.values()))
    parts = []
    for decision, (one, several) in VERBS.items():
        who = labels.get(decision, [])
        named = join(who) if who and total <= NAMED else str(len(who))
        if who:
            parts.append(f"{named} {one if len(who) == 1 else several}")
    said = ", ".join(parts)
    return said if total <= NAMED else f"of {total} prompts {said}"


def in_words(results: TransferResults, judged: Sequence[Condition]) -> Iterator[str]:
    """What the method with the largest gain on unseen models gains, what models could learn of
    themselves, and which methods win by one scorer what they lose by another.
    """
    scorer = results.scorers[0]
    tasks = plural(len(results.tasks), "task")
    best = max(judged, key=lambda method: _strength(results, method, scorer))
    parts = _gains(results, best, scorer)
    if parts:
        chosen = f" (of {len(judged)} methods the one with the largest)"
        yield (
            f"Mean gain of {best.label}{chosen if len(judged) > 1 else ''} over each model’s best"
            f" baseline, {tasks}, by {scorer}: {'; '.join(parts)}."
        )
    for bound in results.bounds:
        parts = _gains(results, bound, scorer)
        if parts:
            yield (
                f"Beside it {bound.label}, which transfer cannot be expected to exceed where"
                f" learning was long enough: {'; '.join(parts)}."
            )
    yield from _disagreements(results)


def _strength(results: TransferResults, method: Condition, scorer: Scorer) -> float:
    """The gain on unseen models; on the source where there is no other."""
    found = [one for one in _over_best(results, scorer) if one.method == method.name]
    return (found[-1].difference.value or 0.0) if found else 0.0


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _gains(results: TransferResults, method: Condition, scorer: Scorer) -> list[str]:
    parts = []
    for one in _over_best(results, scorer):
        if one.method == method.name:
            decided = DECIDED[one.difference.decision]
            parts.append(
                f"{gained(one.difference)} {_where(results, one.group)}, {decided}"
            )
    return parts


def _over_best(results: TransferResults, scorer: Scorer) -> list[Contrast]:
    return [
        one
        for one in results.contrasts
        if one.scorer == scorer and one.task is None and one.against is None
    ]


def _disagreements(results: TransferResults) -> Iterator[str]:
    """Methods that gain by ranking where they lose by generation."""
    generated = {
        (one.group, one.method): one for one in _over_best(results, "generation")
    }
    for one in _over_best(results, "ranking"):
        other = generated.get((one.group, one.method))
        if other is None or one.difference.decision != "better":
            continue
        if other.difference.decision == "worse":
            label = results.condition(one.method).label
            silent = unparsable(other.unparsable)
            yield (
                f"{label} wins by ranking what it loses by generation {_where(results, one.group)}:"
                f" {gained(one.difference)} against {gained(other.difference)}"
                f"{f', with {silent} answers' if silent else ''}."
            )
