"""How many pairs of a model and a task a learned prompt makes better or worse, counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

from matboard.report.transfer.references import WORDS, Comparison, Reference
from matboard.report.words import ERROR_RATE
from matboard.results.parts import Difference
from matboard.results.transfer import GROUPS, Cell, Condition, Group


@dataclass(frozen=True)
class Tally:
    """How many pairs got better, got worse, stay undecided at 95 %, or had too few samples to tell.

    Attributes:
        error: probability that a pair counts as better where nothing helps; the largest of any.
    """

    better: int = 0
    worse: int = 0
    undecided: int = 0
    too_few: int = 0
    error: float = ERROR_RATE / 2

    @property
    def total(self) -> int:
        """Pairs compared."""
        return self.better + self.worse + self.undecided + self.too_few

    @property
    def gain(self) -> int:
        """Better minus worse."""
        return self.better - self.worse

    def beyond_chance(self, methods: int) -> bool:
        """More better than worse, and more better than the intervals' own errors would give.

        A binomial tail under ERROR_RATE, divided by the number of methods looked at (Bonferroni),
        is called beyond chance. Pairs count as independent, so count by encoder.
        """
        tail = 0.0
        for better in range(self.better, self.total + 1):
            one_way = self.error**better * (1 - self.error) ** (self.total - better)
            tail += comb(self.total, better) * one_way
        return self.gain > 0 and tail < ERROR_RATE / methods

    def words(self) -> str:
        """``"better in all 9"``, ``"better in 5, undecided in 4 of 9"``: what did not happen is
        left out.
        """
        counts = {
            "better": self.better,
            "worse": self.worse,
            "undecided": self.undecided,
            "measured on too few pictures": self.too_few,
        }
        happened = [f"{word} in {count}" for word, count in counts.items() if count]
        if len(happened) > 1:
            return f"{', '.join(happened)} of {self.total}"
        [word] = [word for word, count in counts.items() if count]
        return (
            f"{word} in the one" if self.total == 1 else f"{word} in all {self.total}"
        )


def by_model(
    comparison: Comparison,
    method: Condition,
    groups: Iterable[Group],
    reference: Reference,
) -> Tally:
    """Count each pair of a model and a task."""
    cells = _cells(comparison, method, groups)
    found = (comparison.against(cell, reference) for cell in cells)
    return _tally([_said(difference) for difference in found if difference is not None])


def by_encoder(
    comparison: Comparison,
    method: Condition,
    groups: Iterable[Group],
    reference: Reference,
) -> Tally:
    """Count each pair of a vision encoder and a task.

    Models that share an encoder see the same and fail alike: they count once, by what more than
    half of them show. Where nothing helps, more than half of k models are better with probability
    at most k / (⌊k/2⌋ + 1) times one model's (Markov), however they depend on each other. A model
    whose encoder is not known counts for itself.
    """
    encoders = {}
    for model in comparison.results.models:
        encoders[model.name] = model.encoder or f"of {model.name}"
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in _cells(comparison, method, groups):
        difference = comparison.against(cell, reference)
        if difference is not None:
            pair = (encoders[cell.model], cell.task)
            said[pair].append(_said(difference))
    factor = 1.0
    for words in said.values():
        factor = max(factor, len(words) / (len(words) // 2 + 1))
    majorities = [_majority(words) for words in said.values()]
    return _tally(majorities, factor * ERROR_RATE / 2)


def _cells(
    comparison: Comparison, method: Condition, groups: Iterable[Group]
) -> list[Cell]:
    chosen = set(groups)
    names = {model.name for model in comparison.results.models if model.group in chosen}
    return [
        c for c in comparison.learned if c.condition == method.name and c.model in names
    ]


def _said(difference: Difference) -> str:
    return "too few" if difference.too_few else difference.decision


def _majority(words: list[str]) -> str:
    for word in words:
        if 2 * words.count(word) > len(words):
            return word
    return "undecided"


def _tally(words: list[str], error: float = ERROR_RATE / 2) -> Tally:
    return Tally(
        better=words.count("better"),
        worse=words.count("worse"),
        undecided=words.count("undecided"),
        too_few=words.count("too few"),
        error=error,
    )


@dataclass(frozen=True)
class ScoreLine:
    """One line of the score card: group → its tally against one reference."""

    method: Condition
    against: str
    tallies: dict[Group, Tally]


def score_card(comparison: Comparison) -> list[ScoreLine]:
    """Every method against every reference it was paired with, in the results' order."""
    lines = []
    for method in comparison.results.methods:
        for reference in comparison.references:
            tallies = {g: by_model(comparison, method, [g], reference) for g in GROUPS}
            if any(tally.total for tally in tallies.values()):
                lines.append(ScoreLine(method, WORDS[reference], tallies))
    return lines
