"""What a continual run says, in plain words, from paired differences alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from matboard.report.continual_results import ContinualResults
from matboard.report.continual_table import arrange
from matboard.report.rendering import signed
from matboard.report.results import Difference
from matboard.report.verdict import ENOUGH_SEEDS, ERROR_RATE, Verdict, join, plural

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # quantiles of Student's t, 1 … 9 degrees of freedom
Z_975 = 1.959964


def continual_verdict(results: ContinualResults) -> Verdict:
    """Which learner is best, whether a prompt beats the best control, and what is decided against the reference."""
    measured = {s.learner: s.accuracy.value for s in results.summary if s.accuracy.value is not None}
    if not measured:
        return Verdict("No learner was measured to the end, so there is nothing to judge yet.")
    best = max(measured, key=lambda name: measured[name])
    what = ", a control that learns no prompt," if best in _names(results, "control") else ""
    rank = "the only learner measured" if len(measured) == 1 else f"the most accurate of {len(measured)} learners"
    sentences = _pairing(results, measured), _reference(results), _caution(results)
    lead = f"{_signed_name(results, best)}{what} is {rank}: {measured[best]:.3f} after the last task. {_control(results, measured)}"
    return Verdict(lead, "\n".join(filter(None, sentences)))


def _control(results: ContinualResults, measured: dict[str, float]) -> str:
    """Whether any prompt is worth having: none is, that a classifier on the same frozen features beats."""
    control, prompted = best_control(results, measured), [name for name in _names(results, "prompt") if name in measured]
    if not prompted:
        return "No prompted learner was measured."
    if control is None:
        return "No control was measured, so nobody knows whether a prompt is worth having here."
    is_best = measured[control] == max(measured.values())
    words = "it" if is_best else f"the best control, {_signed_name(results, control)} ({measured[control]:.3f})"
    differences = {name: over_control(results, name, control) for name in prompted}
    better = [name for name in prompted if differences[name].decision == "better"]
    if better:
        first = max(better, key=lambda name: differences[name].value or 0.0)
        names = join([_signed_name(results, name) for name in better])
        by = f"{_signed_name(results, first)} by {_ends(differences[first])}" if len(better) > 1 else f"by {_ends(differences[first])}"
        return f"{names} {'beats' if len(better) == 1 else 'beat'} {words}, {by}."
    nearest = max(prompted, key=lambda name: differences[name].value or 0.0)
    shown = "beats" if differences[nearest].decision == "worse" else "is shown to beat"
    tail = "" if differences[nearest].decision == "worse" else ", undecided"
    return f"No prompted learner {shown} {words}: {_signed_name(results, nearest)} comes nearest, {_ends(differences[nearest])}{tail}."


def best_control(results: ContinualResults, measured: dict[str, float]) -> str | None:
    """The most accurate control; None where none was measured."""
    return max((name for name in _names(results, "control") if name in measured), key=lambda name: measured[name], default=None)


def _names(results: ContinualResults, kind: str) -> list[str]:
    return [learner.name for learner in results.of_kind(kind)]


def _signed_name(results: ContinualResults, name: str) -> str:
    """A learner's name with the signs of its footnotes."""
    return next(name + row.signs for row in arrange(results).rows if row.learner.name == name)


def _ends(d: Difference) -> str:
    return signed_or_dash(d.value) + (f" ({signed_or_dash(d.low)} to {signed_or_dash(d.high)})" if d.low is not None else "")


def _pairing(results: ContinualResults, measured: dict[str, float]) -> str:
    """How the comparison with the control was paired, where the run itself did not."""
    control = best_control(results, measured)
    if control in (None, results.reference) or not _names(results, "prompt"):
        return ""
    if results.seeds < 2:
        return "The comparison with the control has no interval: it is paired by seed, and there is one."
    return "The comparison with the control is paired by seed: Student’s interval, without the luck of the test pictures."


def over_control(results: ContinualResults, learner: str, control: str) -> Difference:
    """Learner − control: as the run paired them where the control is its reference, else paired seed by seed."""
    against = results.summary_of(learner).against
    if control == results.reference and against and against.accuracy:
        return against.accuracy
    theirs = {outcome.seed: outcome.accuracy for outcome in results.seeds_of(control)}
    pairs = [(outcome.accuracy, theirs.get(outcome.seed)) for outcome in results.seeds_of(learner)]
    return over_seeds([a - b for a, b in pairs if a is not None and b is not None])


def over_seeds(differences: Sequence[float]) -> Difference:
    """Mean and Student's 95 % interval of differences paired by seed; no interval of one seed."""
    if len(differences) < 2:
        return Difference(value=differences[0] if differences else None)
    mean, half = fmean(differences), t_975(len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Difference(value=mean, low=mean - half, high=mean + half)


def t_975(freedom: int) -> float:
    """97.5 % quantile of Student's t; from 10 degrees on by Fisher's expansion (Abramowitz and Stegun 26.7.5), to three digits."""
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z, v = Z_975, float(freedom)
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + math.fsum(term / v**power for power, term in enumerate(terms, start=1))


def _reference(results: ContinualResults) -> str:
    compared = [s for s in results.summary if s.against]
    if not compared:
        return "No learner was compared with a reference on the same samples." if len(results.learners) > 1 else ""
    accuracy = _sorted(results, {s.learner: s.against.accuracy for s in compared if s.against}, "better", "worse")
    forgetting = _sorted(results, {s.learner: s.against.forgets for s in compared if s.against}, "less", "more")
    where = f"against the reference {_signed_name(results, results.reference)} (paired, 95 %)"
    parts = [f"{what} {where}, {words}." for what, words in (("Accuracy", accuracy), ("Forgetting", forgetting)) if words]
    return "\n".join(parts)


def _sorted(results: ContinualResults, differences: dict[str, Difference | None], better: str, worse: str) -> str:
    by_decision: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    for name, difference in differences.items():
        if difference and difference.value is not None:
            by_decision[difference.decision].append(_signed_name(results, name))
    words = {"better": better, "worse": worse, "undecided": "undecided"}
    return "; ".join(f"{words[decision]}: {join(names)}" for decision, names in by_decision.items() if names)


def _caution(results: ContinualResults) -> str:
    pairs = [d for s in results.summary if s.against for d in (s.against.accuracy, s.against.forgetting) if d and d.low is not None]
    sentences = []
    if pairs:
        chance = max(1, round(ERROR_RATE * len(pairs)))
        sentences.append(f"Of {len(pairs)} comparisons with the reference, about {chance} would look decided by chance alone.")
    if 0 < results.seeds < ENOUGH_SEEDS:
        who = "Every" if {len(results.seeds_of(learner.name)) for learner in results.learners} == {results.seeds} else "Some"
        ran = f"{who} learner ran with {results.seeds} {plural(results.seeds, 'seed')}"
        sentences.append(f"{ran}: below {ENOUGH_SEEDS}, no difference is to be believed.")
    flagged = [_signed_name(results, learner.name) for learner in results.arranged if learner.flags]
    if flagged:
        carry = "carries a flag: read its footnote" if len(flagged) == 1 else "carry flags: read their footnotes"
        sentences.append(f"{join(flagged)} {carry} before comparing.")
    return " ".join(sentences)


def signed_or_dash(value: float | None) -> str:
    """``+0.021``, or a dash where there is no number."""
    return "–" if value is None else signed(value)
