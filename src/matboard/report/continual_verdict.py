"""What a continual run says, in plain words, from paired differences alone."""

from __future__ import annotations

from matboard.report.continual_results import ContinualResults
from matboard.report.continual_table import arrange
from matboard.report.rendering import signed
from matboard.report.results import Difference
from matboard.report.verdict import ENOUGH_SEEDS, ERROR_RATE, Verdict, join, plural


def continual_verdict(results: ContinualResults) -> Verdict:
    """Which learner is best, whether a prompt beats the best control, and what is decided against
    the reference.
    """
    measured = {
        s.learner: s.accuracy.value for s in results.summary if s.accuracy.value is not None
    }
    if not measured:
        return Verdict("No learner was measured to the end, so there is nothing to judge yet.")
    best = max(measured, key=lambda name: measured[name])
    what = ", a control that learns no prompt," if best in _names(results, "control") else ""
    rank = (
        "the only learner measured"
        if len(measured) == 1
        else f"the most accurate of {len(measured)} learners"
    )
    sentences = _reference(results), _caution(results)
    lead = (
        f"{_signed_name(results, best)}{what} is {rank}: {measured[best]:.3f} after the last task."
        f" {_control(results, measured)}"
    )
    return Verdict(lead, "\n".join(filter(None, sentences)))


def _control(results: ContinualResults, measured: dict[str, float]) -> str:
    """Whether any prompt is worth having: none is, that a classifier on the same frozen features
    beats.
    """
    control, prompted = (
        results.control,
        [name for name in _names(results, "prompt") if name in measured],
    )
    if not prompted:
        return "No prompted learner was measured."
    if control not in measured:
        return "No control was measured, so nobody knows whether a prompt is worth having here."
    is_best = measured[control] == max(measured.values())
    words = (
        "it"
        if is_best
        else f"the best control, {_signed_name(results, control)} ({measured[control]:.3f})"
    )
    differences = {name: over_control(results, name) for name in prompted}
    better = [name for name in prompted if differences[name].decision == "better"]
    if better:
        first = max(better, key=lambda name: differences[name].value or 0.0)
        names = join([_signed_name(results, name) for name in better])
        by = (
            f"{_signed_name(results, first)} by {_ends(differences[first])}"
            if len(better) > 1
            else f"by {_ends(differences[first])}"
        )
        return f"{names} {'beats' if len(better) == 1 else 'beat'} {words}, {by}."
    nearest = max(prompted, key=lambda name: differences[name].value or 0.0)
    shown = "beats" if differences[nearest].decision == "worse" else "is shown to beat"
    tail = "" if differences[nearest].decision == "worse" else ", undecided"
    return (
        f"No prompted learner {shown} {words}: {_signed_name(results, nearest)} comes nearest,"
        f" {_ends(differences[nearest])}{tail}."
    )


def over_control(results: ContinualResults, learner: str) -> Difference:
    """Learner − the best control, as the run paired them."""
    over = results.summary_of(learner).over_control
    return (over and over.accuracy) or Difference()


def _names(results: ContinualResults, kind: str) -> list[str]:
    return [learner.name for learner in results.of_kind(kind)]


def _signed_name(results: ContinualResults, name: str) -> str:
    """A learner's name with the signs of its footnotes."""
    return next(name + row.signs for row in arrange(results).rows if row.learner.name == name)


def _ends(d: Difference) -> str:
    return signed_or_dash(d.value) + (
        f" ({signed_or_dash(d.low)} to {signed_or_dash(d.high)})" if d.low is not None else ""
    )


def _reference(results: ContinualResults) -> str:
    compared = [s for s in results.summary if s.against]
    if not compared:
        return (
            "No learner was compared with a reference on the same samples."
            if len(results.learners) > 1
            else ""
        )
    accuracy = _sorted(
        results, {s.learner: s.against.accuracy for s in compared if s.against}, "better", "worse"
    )
    forgetting = _sorted(
        results, {s.learner: s.against.forgets for s in compared if s.against}, "less", "more"
    )
    where = f"against the reference {_signed_name(results, results.reference)} (paired, 95 %)"
    parts = [
        f"{what} {where}, {words}."
        for what, words in (("Accuracy", accuracy), ("Forgetting", forgetting))
        if words
    ]
    return "\n".join(parts)


def _sorted(
    results: ContinualResults, differences: dict[str, Difference | None], better: str, worse: str
) -> str:
    by_decision: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    for name, difference in differences.items():
        if difference and difference.value is not None:
            by_decision[difference.decision].append(_signed_name(results, name))
    words = {"better": better, "worse": worse, "undecided": "undecided"}
    return "; ".join(
        f"{words[decision]}: {join(names)}" for decision, names in by_decision.items() if names
    )


def _caution(results: ContinualResults) -> str:
    pairs = [
        d
        for s in results.summary
        if s.against
        for d in (s.against.accuracy, s.against.forgetting)
        if d and d.low is not None
    ]
    sentences = []
    if pairs:
        chance = max(1, round(ERROR_RATE * len(pairs)))
        sentences.append(
            f"Of {len(pairs)} comparisons with the reference, about {chance} would look decided by"
            " chance alone."
        )
    if 0 < results.seeds < ENOUGH_SEEDS:
        who = (
            "Every"
            if {len(results.seeds_of(learner.name)) for learner in results.learners}
            == {results.seeds}
            else "Some"
        )
        ran = f"{who} learner ran with {results.seeds} {plural(results.seeds, 'seed')}"
        sentences.append(f"{ran}: below {ENOUGH_SEEDS}, no difference is to be believed.")
    flagged = [_signed_name(results, learner.name) for learner in results.arranged if learner.flags]
    if flagged:
        carry = (
            "carries a flag: read its footnote"
            if len(flagged) == 1
            else "carry flags: read their footnotes"
        )
        sentences.append(f"{join(flagged)} {carry} before comparing.")
    return " ".join(sentences)


def signed_or_dash(value: float | None) -> str:
    """``+0.021``, or a dash where there is no number."""
    return "–" if value is None else signed(value)
