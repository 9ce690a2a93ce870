"""What a choice comes to: from the standings of its candidates to ``results.json``."""

from __future__ import annotations

from matboard.metrics import wilson
from matboard.results import ChoiceResults, Difference, Interval
from matboard.results.choice import Candidate
from matboard.runs import Run
from matboard.studies.candidates import Candidates
from matboard.studies.engine import alone
from matboard.transfer.choose import Halving, looks


def choice_results(halving: Halving, candidates: Candidates | None) -> ChoiceResults:
    """The decision; what it was made for is the caller's to add.

    Args:
        candidates: None where only predictions are known.
    """
    shown = {} if candidates is None else candidates.shown
    ranked = []
    for name in halving.ranking:
        facts = shown[name].facts if name in shown else None
        ranked.append(_candidate(halving, name, facts.geometry if facts else None))
    none = max(halving.standings.values(), key=lambda one: one.pictures[-1])
    seen = none.pictures[-1]
    winner = halving.winner
    return ChoiceResults(
        error_rate=halving.rate,
        confidence=1 - 2 * halving.rate,
        pictures=halving.pictures,
        rounds=tuple(look for look in looks(halving.pictures) if look <= seen),
        none=Interval.of(wilson(none.right - none.wins[-1] + none.losses[-1], seen)),
        candidates=tuple(ranked),
        winner=winner,
        prompt="prompt" if winner in shown else None,
        calls=halving.calls,
        calls_of_all=halving.pictures * (len(halving.standings) + 1),
    )


def _candidate(halving: Halving, name: str, geometry: str | None) -> Candidate:
    one = halving.standings[name]
    tally = one.tally
    low, high = halving.interval(name)
    seen = tally.pictures[-1]
    return Candidate(
        name=name,
        geometry=geometry or "",
        pictures=seen,
        wins=tally.wins[-1],
        losses=tally.losses[-1],
        accuracy=Interval.of(wilson(one.right, seen)),
        difference=Difference(value=tally.difference, low=low, high=high, n=seen),
        p_value=halving.p_value(name),
        gain_shown=one.gain_shown,
    )


def write_choice(run: Run, results: ChoiceResults, candidates: Candidates | None) -> None:
    """The winner's copy, then the results, which say that all is there."""
    with alone(run):
        prompt = (
            candidates.prompt(results.winner) if candidates and results.winner else None
        )
        if prompt is not None:
            prompt.save_pretrained(run.path("prompt"))
        run.write_results(results.as_json())
