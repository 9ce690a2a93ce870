"""What a transfer table says, in plain words, from paired differences alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

from matboard.report.results import GROUPS, Cell, Condition, Group, Results

TARGETS: tuple[Group, ...] = ("same", "other")
ENOUGH_SEEDS = 3  # design rule: every claim of "better" stands on at least three seeds
ERROR_RATE = 0.05  # of a 95 % interval
OPPONENTS = {
    "full": "the full picture without a prompt",
    "shrunk": "the shrunk picture with a black border",
    "flat": "the flat border it was learned from",
}
WHOSE: dict[Group, str] = {
    "same": " whose model shares the source’s encoder",
    "other": " whose model has another encoder",
}


@dataclass(frozen=True)
class Tally:
    """How many model–task pairs got better, got worse or stay undecided at 95 %."""

    better: int = 0
    worse: int = 0
    undecided: int = 0

    @property
    def total(self) -> int:
        """Pairs compared."""
        return self.better + self.worse + self.undecided

    @property
    def gain(self) -> int:
        """Better minus worse."""
        return self.better - self.worse

    def beyond_chance(self, methods: int) -> bool:
        """More better than worse, and more better than the intervals' own errors would give.

        Where nothing helps, an interval lies above zero with probability ERROR_RATE / 2; a binomial
        tail under ERROR_RATE, divided by the number of methods looked at (Bonferroni), is called
        beyond chance. Pairs count as independent.
        """
        p = ERROR_RATE / 2
        tail = sum(
            comb(self.total, k) * p**k * (1 - p) ** (self.total - k)
            for k in range(self.better, self.total + 1)
        )
        return self.gain > 0 and tail < ERROR_RATE / methods

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.better + other.better, self.worse + other.worse, self.undecided + other.undecided
        )


def tally(results: Results, method: str, group: Group, baseline: str, scorer: str) -> Tally:
    """Count the decisions of one method against one baseline over the models of one group and all
    tasks.
    """
    names = {model.name for model in results.group(group)}
    decisions = [
        difference.decision
        for cell in results.cells
        if cell.condition == method and cell.scorer == scorer and cell.model in names
        if (difference := cell.against(baseline)) is not None and difference.value is not None
    ]
    return Tally(decisions.count("better"), decisions.count("worse"), decisions.count("undecided"))


@dataclass(frozen=True)
class Score:
    """One line of the score card: group → its tally against one baseline."""

    method: Condition
    baseline: Condition
    tallies: dict[Group, Tally]


def score_card(results: Results, scorer: str) -> list[Score]:
    """Every method against every baseline it was paired with, in the results' order."""
    lines = [
        Score(
            method,
            baseline,
            {group: tally(results, method.name, group, baseline.name, scorer) for group in GROUPS},
        )
        for method in results.methods
        for baseline in results.baselines
    ]
    return [line for line in lines if any(t.total for t in line.tallies.values())]


@dataclass(frozen=True)
class Verdict:
    """What the table says: one sentence, and the counts behind it."""

    lead: str
    body: str = ""


def verdict(results: Results) -> Verdict:
    """Whom the learned prompts help, by how many model–task pairs, and how far to believe it."""
    if not results.methods or not results.cells:
        return Verdict("No learned prompt was measured, so there is nothing to judge yet.")
    scorer = results.scorers[0]
    best = max(results.methods, key=lambda method: _strength(results, method, scorer))
    if not any(_targets(results, method, "full", scorer).total for method in results.methods):
        return Verdict(
            "No target model was compared with the full picture, so nothing can be said about"
            " transfer.",
            _source(results, best, scorer),
        )
    sentences = (
        _numbers(results, best, scorer),
        _source(results, best, scorer),
        _other_scorers(results, best),
        _caution(results, scorer),
    )
    return Verdict(
        _lead(results, best, scorer), " ".join(sentence for sentence in sentences if sentence)
    )


def _targets(results: Results, method: Condition, baseline: str, scorer: str) -> Tally:
    return sum((tally(results, method.name, group, baseline, scorer) for group in TARGETS), Tally())


def _strength(results: Results, method: Condition, scorer: str) -> tuple[int, int]:
    tallies = [_targets(results, method, baseline, scorer) for baseline in OPPONENTS]
    gains = [t.gain for t in tallies if t.total] or [0]
    return min(gains), sum(gains)


def _beats(results: Results, method: Condition, baseline: str, scorer: str) -> bool:
    """Beyond chance against one baseline; true where nothing was compared with it."""
    t = _targets(results, method, baseline, scorer)
    return not t.total or t.beyond_chance(len(results.methods))


def _lead(results: Results, best: Condition, scorer: str) -> str:
    """A prompt helps where it beats the full picture, and the shrunk one behind a black or flat
    border: else those did it.
    """
    full = [m.title for m in results.methods if _beats(results, m, "full", scorer)]
    helpful = [
        m.title
        for m in results.methods
        if all(_beats(results, m, opponent, scorer) for opponent in OPPONENTS)
    ]
    rest = [m.title for m in results.methods if m.title not in helpful]
    if helpful:
        tail = f"; {join(rest)} {'does' if len(rest) == 1 else 'do'} not" if rest else ""
        return (
            f"{join(helpful)} {'helps' if len(helpful) == 1 else 'help'} target models beyond"
            f" chance{tail}."
        )
    who = f"{rest[0]} does not help" if len(rest) == 1 else f"None of {join(rest)} helps"
    t = _targets(results, best, "full", scorer)
    counts = f"{best.title} is {_counted(t)} model–task {plural(t.total, 'pair')}"
    lead = (
        f"{who} the target models beyond chance: against the full picture without a prompt,"
        f" {counts}."
    )
    if full:
        return (
            f"{lead} But shrinking the picture behind {_unlearned(results)} gains as much, so the"
            " gain is not the prompt’s."
        )
    if any(
        _targets(results, m, "shrunk", scorer).beyond_chance(len(results.methods))
        for m in results.methods
    ):
        lead += " It does win back some of what shrinking the picture costs."
    return lead


def _unlearned(results: Results) -> str:
    return (
        "an unlearned border"
        if any(baseline.name == "flat" for baseline in results.baselines)
        else "a black border"
    )


def _numbers(results: Results, method: Condition, scorer: str) -> str:
    parts, whose = [], WHOSE if results.source_measured else dict.fromkeys(TARGETS, "")
    for baseline, words in OPPONENTS.items():
        tallies = {group: tally(results, method.name, group, baseline, scorer) for group in TARGETS}
        counts = [
            f"{_counted(t)} {plural(t.total, 'pair')}{whose[group]}"
            for group, t in tallies.items()
            if t.total
        ]
        if counts:
            parts.append(f"against {words} it is {join(counts)}")
    start = (
        f"Of the {len(results.methods)} methods {method.title} did best"
        if len(results.methods) > 1
        else f"{method.title}"
    )
    return f"{start}, counted in pairs of a target model and a task at 95 %: {'; '.join(parts)}."


def _counted(t: Tally) -> str:
    """``"better in all 9"``, ``"better in 5, undecided in 4 of 9"``: what did not happen is left
    out.
    """
    counts = {"better": t.better, "worse": t.worse, "undecided": t.undecided}
    happened = {word: count for word, count in counts.items() if count}
    if len(happened) == 1:
        return (
            f"{next(iter(happened))} in"
            f" {'all ' if t.total > 1 else ''}{t.total if t.total > 1 else 'the one'}"
        )
    return f"{', '.join(f'{word} in {count}' for word, count in happened.items())} of {t.total}"


def _source(results: Results, method: Condition, scorer: str) -> str:
    t = tally(results, method.name, "source", "full", scorer)
    return (
        f"On the source itself, against the full picture, {method.title} is {_counted(t)}"
        f" {plural(t.total, 'pair')}."
        if t.total
        else ""
    )


def _other_scorers(results: Results, method: Condition) -> str:
    tallies = {scorer: _targets(results, method, "full", scorer) for scorer in results.scorers[1:]}
    parts = [
        f"when scored by {scorer} it is {_counted(t)} target {plural(t.total, 'pair')}"
        for scorer, t in tallies.items()
        if t.total
    ]
    return (
        f"These counts are by {results.scorers[0]}; {'; '.join(parts)}, against the full picture."
        if parts
        else ""
    )


def _caution(results: Results, scorer: str) -> str:
    learned = {m.name for m in results.methods}
    cells = [cell for cell in results.cells if cell.condition in learned and cell.scorer == scorer]
    compared = sum(
        d is not None and d.value is not None for cell in cells for d in cell.versus.values()
    )
    sentences = [
        f"Of {compared} comparisons at 95 %, about {max(1, round(ERROR_RATE * compared))} would"
        " look decided by chance alone."
    ]
    seeds = fewest_seeds(cells)
    if seeds is not None and seeds < ENOUGH_SEEDS:
        sentences.append(
            f"Every prompt was learned with {seeds} {plural(seeds, 'seed')}: below {ENOUGH_SEEDS}, "
            "the intervals speak of these test pictures and not of the luck of training."
        )
    return " ".join(sentences)


def fewest_seeds(cells: Iterable[Cell]) -> int | None:
    """The smallest number of seeds behind any of the cells; None where no cell lists them."""
    return min((len(cell.seeds) for cell in cells if cell.seeds), default=None)


def plural(count: int, one: str) -> str:
    """``"seed"`` for one, ``"seeds"`` for any other count."""
    return one if count == 1 else f"{one}s"


def join(words: list[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
