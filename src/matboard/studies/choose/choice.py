"""A choice before and after it is made: what is asked for, and from the standings of its candidates
to ``results.json``.
"""

from __future__ import annotations

from dataclasses import dataclass

from matboard.metrics import wilson
from matboard.results import ChoiceResults, Difference, Interval
from matboard.results.choice import Candidate
from matboard.runs import Run
from matboard.studies.choose.candidates import Candidates
from matboard.studies.engine import alone
from matboard.tasks.task import Sample, Task
from matboard.transfer.choose import Halving, drawn, looks

PICTURES = 60
"""A few dozen: a gain of 0.3 takes 31 among four prompts and 35 among twelve, one of 0.2 takes 81
and 94 (benchmarks/choosing.py).
"""


@dataclass(frozen=True)
class Asked:
    """What a choice is made for.

    Attributes:
        pictures: how many labelled ones are drawn; None: `PICTURES`, and of predictions all.
        rate: how often, at most, a prompt may be used that is no better than none.
        seed: of the lot that draws pictures.
        every_part: whether a task's training part is drawn from too.
    """

    pictures: int | None = None
    rate: float = 0.05
    seed: int = 0
    every_part: bool = False

    def config(self, **more: object) -> dict[str, object]:
        """What a run folder keeps of it, beside more."""
        return {
            **more,
            "pictures": self.pictures,
            "error_rate": self.rate,
            "seed": self.seed,
            "every_part": self.every_part,
        }


def draw_samples(task: Task, asked: Asked) -> list[Sample]:
    """The labelled pictures that a choice goes by, in their order: drawn by lot from the test
    part, which no prompt was learned from; from the training part too where that is asked for.
    """
    samples = (*task.train, *task.test) if asked.every_part else task.test
    by_id = {sample.id: sample for sample in samples}
    ids = drawn(by_id, asked.pictures or PICTURES, asked.seed)
    return [by_id[id] for id in ids]


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


def write_choice(
    run: Run, results: ChoiceResults, candidates: Candidates | None
) -> None:
    """The winner's copy, then the results, which say that all is there."""
    with alone(run):
        prompt = (
            candidates.prompt(results.winner) if candidates and results.winner else None
        )
        if prompt is not None:
            prompt.save_pretrained(run.path("prompt"))
        run.write_results(results.as_json())
