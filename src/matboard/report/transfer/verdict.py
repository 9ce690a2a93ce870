"""What a transfer table says, in plain words, from paired differences alone."""

from __future__ import annotations

from collections.abc import Sequence

from matboard.report.transfer.pooled import in_words, who_gains
from matboard.report.transfer.references import WORDS, Comparison, Reference
from matboard.report.transfer.tally import Tally, by_encoder, by_model
from matboard.report.words import ENOUGH_SEEDS, Verdict, join, looks_decided, plural
from matboard.results.transfer import TARGETS, Condition, Group, TransferResults

WHOSE: dict[Group, str] = {
    "same": " whose model shares the source’s encoder",
    "other": " whose model has another encoder",
    "unknown": " whose model has an encoder that is not known",
}


def verdict(results: TransferResults) -> Verdict:
    """Whom the learned prompts help, by how many pairs, and how far to believe it."""
    if not results.methods or not results.cells:
        return Verdict(
            "No learned prompt was measured, so there is nothing to judge yet."
        )
    comparison = Comparison(results, results.scorers[0])
    judged = [method for method in results.methods if seeds_of(method) >= ENOUGH_SEEDS]
    best = max(
        judged or results.methods, key=lambda method: _strength(comparison, method)
    )
    if not any(
        _targets(comparison, method, "best").total for method in results.methods
    ):
        return Verdict(
            "No target model was compared with a baseline, so nothing can be said about transfer.",
            (_source(comparison, best),),
        )
    lead = _lead(comparison, judged, best) if judged else _few_seeds(comparison, best)
    counted = (
        _by_encoder(comparison, best),
        _by_model(comparison, best),
        f"{_source(comparison, best)} {_other_scorers(comparison, best)}".strip(),
    )
    lines = tuple(line for line in counted if line)
    caution = _caution(comparison, judged)
    if not judged or not results.contrasts:
        return Verdict(lead, (*lines, caution) if caution else lines)
    pooled = (*in_words(results, judged), caution)
    return Verdict(who_gains(results, judged), pooled, (lead, *lines))


def seeds_of(method: Condition) -> int:
    """How many prompts stand behind a column; one of unknown seed is one."""
    return max(1, len(method.seeds))


def _targets(comparison: Comparison, method: Condition, reference: Reference) -> Tally:
    return by_encoder(comparison, method, TARGETS, reference)


def _strength(comparison: Comparison, method: Condition) -> tuple[int, int]:
    encoders = _targets(comparison, method, "best")
    models = by_model(comparison, method, TARGETS, "best")
    return encoders.gain, models.gain


def _beats(
    comparison: Comparison, method: Condition, reference: Reference, looked: int
) -> bool:
    return _targets(comparison, method, reference).beyond_chance(looked)


def _few_seeds(comparison: Comparison, best: Condition) -> str:
    """Below three seeds nothing is claimed beyond these prompts and these pictures."""
    tally = by_model(comparison, best, TARGETS, "best")
    many = len(comparison.results.methods) > 1
    who = f"{best.label}, the best of them," if many else best.label
    return (
        f"Learned with {plural(seeds_of(best), 'seed')}, so this speaks of these prompts on these"
        f" test pictures and of no method: against {WORDS['best']}, {who} is {tally.words()}"
        f" {pairs(tally)} of a target model and a task."
    )


def _lead(comparison: Comparison, judged: Sequence[Condition], best: Condition) -> str:
    """A prompt helps where it beats each model's best baseline; else what did is named."""
    looked = len(judged)
    helpful = [m.label for m in judged if _beats(comparison, m, "best", looked)]
    rest = [m.label for m in judged if m.label not in helpful]
    if helpful:
        verb = "helps" if len(helpful) == 1 else "help"
        tail = ""
        if rest:
            tail = f"; {join(rest)} {'does' if len(rest) == 1 else 'do'} not"
        limits = _limits(comparison, best)
        return f"{join(helpful)} {verb} target models beyond chance{tail}.{limits}"
    who = (
        f"{rest[0]} does not help" if len(rest) == 1 else f"None of {join(rest)} helps"
    )
    tally = _targets(comparison, best, "best")
    lead = (
        f"{who} the target models beyond chance: against {WORDS['best']}, {best.label} is"
        f" {tally.words()} {pairs(tally)} of a vision encoder and a task."
    )
    if any(_beats(comparison, method, "full", looked) for method in judged):
        return (
            f"{lead} Against the full picture alone it would look as if it did, but"
            f" {_unlearned(comparison)} gains as much, so the gain is not the prompt’s."
        )
    if any(_beats(comparison, method, "shrunk", looked) for method in judged):
        return f"{lead} It does win back some of what shrinking the picture costs."
    return lead


def _limits(comparison: Comparison, best: Condition) -> str:
    """For which target models it is shown, where that is not all."""
    tallies = {
        group: by_encoder(comparison, best, [group], "best") for group in TARGETS
    }
    if not tallies["same"].total:
        return ""
    if not tallies["other"].total:
        return " No model with another encoder than the source’s was measured."
    if tallies["same"].beyond_chance(1) and not tallies["other"].beyond_chance(1):
        return (
            " That is shown for models that share the source’s encoder, not for others."
        )
    return ""


def _unlearned(comparison: Comparison) -> str:
    return (
        "an unlearned border" if "flat" in comparison.references else "a black border"
    )


def _by_encoder(comparison: Comparison, best: Condition) -> str:
    """Empty where no two target models share an encoder: then it would say nothing new."""
    tally = _targets(comparison, best, "best")
    if tally.total == by_model(comparison, best, TARGETS, "best").total:
        return ""
    return (
        "Models that share a vision encoder are not independent. Counted once an encoder and task,"
        f" by more than half of its models, {best.label} is {tally.words()} {pairs(tally)} against"
        f" {WORDS['best']}."
    )


def _by_model(comparison: Comparison, best: Condition) -> str:
    parts = []
    for reference in ("best", "full"):
        counts = []
        for group in TARGETS:
            tally = by_model(comparison, best, [group], reference)
            if tally.total:
                counts.append(f"{tally.words()} {pairs(tally)}{WHOSE[group]}")
        if counts:
            parts.append(f"against {WORDS[reference]} {best.label} is {join(counts)}")
    return f"Counted by model and task, {'; '.join(parts)}."


def _source(comparison: Comparison, method: Condition) -> str:
    tally = by_model(comparison, method, ["source"], "best")
    if not tally.total:
        return ""
    whose = "a source" if len(comparison.results.sources) > 1 else "the source itself"
    found = f"{tally.words()} {pairs(tally)}"
    return f"On {whose}, against its best baseline, {method.label} is {found}."


def _other_scorers(comparison: Comparison, method: Condition) -> str:
    parts = []
    for scorer in comparison.results.scorers[1:]:
        tally = by_model(
            Comparison(comparison.results, scorer), method, TARGETS, "best"
        )
        if tally.total:
            parts.append(
                f"when scored by {scorer} it is {tally.words()} target {pairs(tally)}"
            )
    if not parts:
        return ""
    return (
        f"These counts are by {comparison.scorer}; {'; '.join(parts)}, against each model’s best"
        " baseline."
    )


def _caution(comparison: Comparison, judged: Sequence[Condition]) -> str:
    compared = 0
    for cell in comparison.learned:
        compared += sum(
            difference.low is not None for difference in cell.versus.values()
        )
    sentences = []
    if compared:
        sentences.append(
            f"Of {compared} comparisons at 95 %, {looks_decided(compared)}."
        )
    few = [m for m in comparison.results.methods if m not in judged]
    if few:
        least = min(map(seeds_of, few))
        who = "Every prompt" if not judged else join([m.label for m in few])
        sentences.append(
            f"{who} was learned with {plural(least, 'seed')}: below {ENOUGH_SEEDS}, the intervals"
            " speak of these test pictures and not of the luck of training."
        )
    return " ".join(sentences)


def pairs(tally: Tally) -> str:
    """``"pair"`` or ``"pairs"``."""
    return "pair" if tally.total == 1 else "pairs"
