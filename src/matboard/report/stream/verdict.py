"""What a stream says of its learners, in plain words, from paired differences alone."""

from __future__ import annotations

from collections.abc import Mapping

from matboard.report.stream.table import LearnerTable, arrange, by_seed, fewest_seeds
from matboard.report.words import (
    ENOUGH_SEEDS,
    Verdict,
    join,
    looks_decided,
    plural,
    signed,
)
from matboard.results.parts import Decision, Difference
from matboard.results.stream import StreamResults


def verdict(results: StreamResults) -> Verdict:
    """Which learner is best, whether a prompt beats the best control, and what is decided against
    the reference.
    """
    measured = {
        summary.learner: summary.accuracy.value
        for summary in results.summary
        if summary.accuracy.value is not None
    }
    if not measured:
        return Verdict(
            "No learner was measured to the end, so there is nothing to judge yet."
        )
    table = arrange(results)
    lines = (*_reference(results, table), _caution(results, table))
    lead = f"{_best(table, measured)} {_control(results, table, measured)}"
    seeds = fewest_seeds(results.learners, results.outcomes)
    if seeds < ENOUGH_SEEDS:
        lead = (
            f"Learned with {plural(seeds, 'seed')}, so this speaks of these runs and of no method:"
            f" {lead}"
        )
    return Verdict(lead, tuple(line for line in lines if line))


def _best(table: LearnerTable, measured: Mapping[str, float]) -> str:
    best = table.row(max(measured, key=lambda name: measured[name]))
    what = (
        ", a control that learns no prompt," if best.learner.kind == "control" else ""
    )
    rank = f"the most accurate of {len(measured)} learners"
    if len(measured) == 1:
        rank = "the only learner measured"
    accuracy = measured[best.learner.name]
    return f"{best.name}{what} is {rank}: {accuracy:.3f} after the last task."


def _control(
    results: StreamResults, table: LearnerTable, measured: Mapping[str, float]
) -> str:
    """Whether any prompt is worth having: none is, that a classifier on the same frozen features
    beats.
    """
    prompted = [
        row
        for row in table.rows
        if row.learner.kind == "prompt" and row.learner.name in measured
    ]
    if not prompted:
        return "No prompted learner was measured."
    if results.control is None or results.control not in measured:
        return "No control was measured, so nobody knows whether a prompt is worth having here."
    control = table.row(results.control)
    accuracy = measured[results.control]
    words = f"the best control, {control.name} ({accuracy:.3f})"
    if accuracy == max(measured.values()):
        words = "it"
    differences: dict[str, Difference] = {}
    for row in prompted:
        over = row.summary.over_control
        differences[row.name] = over.accuracy if over else Difference()
    return _beaten(words, differences)


def _beaten(control: str, differences: Mapping[str, Difference]) -> str:
    """Args: control: the words for it; differences: name of a prompted learner → over it."""
    better = {name: d for name, d in differences.items() if d.decision == "better"}
    if len(better) == 1:
        [(name, difference)] = better.items()
        return f"{name} beats {control}, by {_ends(difference)}."
    if better:
        first = max(better, key=lambda name: better[name].value or 0.0)
        names = join(list(better))
        return f"{names} beat {control}, {first} by {_ends(better[first])}."
    nearest = max(differences, key=lambda name: differences[name].value or 0.0)
    difference = differences[nearest]
    if difference.decision == "worse":
        return f"No prompted learner beats {control}: {nearest} comes nearest, {_ends(difference)}."
    return (
        f"No prompted learner is shown to beat {control}: {nearest} comes nearest,"
        f" {_ends(difference)}, undecided."
    )


def _ends(d: Difference) -> str:
    if d.low is None or d.high is None:
        return signed(d.value)
    return f"{signed(d.value)} ({signed(d.low)} to {signed(d.high)})"


def _reference(results: StreamResults, table: LearnerTable) -> list[str]:
    compared = [row for row in table.rows if row.summary.against]
    if not compared and len(results.learners) > 1:
        return ["No learner was compared with a reference on the same samples."]
    reference = table.row(results.reference)
    where = f"against the reference {reference.name} (paired, 95 %)"
    accuracy: dict[str, Decision] = {}
    forgetting: dict[str, Decision] = {}
    for row in compared:
        if row.accuracy is not None and row.accuracy.value is not None:
            accuracy[row.name] = row.decision
        if row.forgetting is not None and row.forgetting.value is not None:
            forgetting[row.name] = row.forgets
    lines = []
    if accuracy:
        lines.append(f"Accuracy {where}, {_sorted(accuracy, 'better', 'worse')}.")
    if forgetting:
        lines.append(f"Forgetting {where}, {_sorted(forgetting, 'less', 'more')}.")
    return lines


def _sorted(decisions: Mapping[str, Decision], better: str, worse: str) -> str:
    parts = []
    words: dict[Decision, str] = {
        "better": better,
        "worse": worse,
        "undecided": "undecided",
    }
    for decision, word in words.items():
        names = [name for name, found in decisions.items() if found == decision]
        if names:
            parts.append(f"{word}: {join(names)}")
    return "; ".join(parts)


def _caution(results: StreamResults, table: LearnerTable) -> str:
    sentences = []
    compared = 0
    for row in table.rows:
        for difference in (row.accuracy, row.forgetting):
            compared += difference is not None and difference.low is not None
    if compared:
        sentences.append(
            f"Of {compared} comparisons with the reference, {looks_decided(compared)}."
        )
    seeds = fewest_seeds(results.learners, results.outcomes)
    if seeds < ENOUGH_SEEDS:
        counts = {
            len(by_seed(results.outcomes, learner.name)) for learner in results.learners
        }
        who = "Every" if counts == {seeds} else "Some"
        ran = f"{who} learner ran with {plural(seeds, 'seed')}"
        sentences.append(
            f"{ran}: below {ENOUGH_SEEDS}, no difference is to be believed."
        )
    flagged = [row.name for row in table.rows if row.learner.flags]
    if len(flagged) == 1:
        sentences.append(
            f"{flagged[0]} carries a flag: read its footnote before comparing."
        )
    elif flagged:
        sentences.append(
            f"{join(flagged)} carry flags: read their footnotes before comparing."
        )
    return " ".join(sentences)
