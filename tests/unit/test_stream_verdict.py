"""What a report claims of a stream."""

from __future__ import annotations

import pytest

from matboard.report.stream.verdict import verdict
from matboard.results import Difference, Interval, StreamResults
from matboard.results.stream import (
    Against,
    BackboneFacts,
    Kind,
    Learner,
    MetTask,
    Outcome,
    StreamFacts,
    Summary,
)

MAJORITY = "selection by majority vote of the evaluation batch"
TASKS = (MetTask(name="1", classes=("a",)), MetTask(name="2", classes=("b",)))
STREAM = StreamFacts(
    name="s", kind="class-incremental", tasks=2, classes=("a", "b"), train=1, test=1
)


def around(value: float, half: float = 0.01) -> Difference:
    return Difference(value=value, low=value - half, high=value + half, n=100)


def against(accuracy: Difference, forgetting: Difference | None = None) -> Against:
    return Against(accuracy=accuracy, forgetting=forgetting or Difference())


def small(
    kinds: dict[str, Kind],
    accuracies: dict[str, float],
    seeds: int = 3,
    versus: dict[str, Against] | None = None,
    over: dict[str, Against] | None = None,
    flags: dict[str, tuple[str, ...]] | None = None,
) -> StreamResults:
    """Learners with their accuracies; the reference is ``ref``."""
    learners = [
        Learner(name=name, method="m", kind=kind, flags=(flags or {}).get(name, ()))
        for name, kind in kinds.items()
    ]
    outcomes = [
        Outcome(learner=name, seed=seed, accuracy=accuracy, matrix="m.csv", tasks=TASKS)
        for name, accuracy in accuracies.items()
        for seed in range(seeds)
    ]
    summary = [
        Summary(
            learner=name,
            accuracy=Interval(value=accuracy),
            against=(versus or {}).get(name),
            over_control=(over or {}).get(name),
        )
        for name, accuracy in accuracies.items()
    ]
    return StreamResults(
        stream=STREAM,
        backbone=BackboneFacts(name="b", dim=1, side=1, layers=1),
        reference="ref",
        control=next((name for name, kind in kinds.items() if kind == "control"), None),
        forgetting_name="chaudhry",
        learners=tuple(learners),
        outcomes=tuple(outcomes),
        summary=tuple(summary),
    )


def test_the_verdict_names_what_is_decided_against_the_reference() -> None:
    kinds: dict[str, Kind] = {"ref": "prompt", "a": "prompt", "b": "prompt"}
    versus = {
        "a": against(around(0.02), around(-0.02)),
        "b": against(around(0.0), around(0.03)),
    }
    found = verdict(small(kinds, {"ref": 0.8, "a": 0.82, "b": 0.8}, versus=versus))
    assert found.lead == (
        "a is the most accurate of 3 learners: 0.820 after the last task. "
        "No control was measured, so nobody knows whether a prompt is worth having here."
    )
    assert found.lines == (
        "Accuracy against the reference ref (paired, 95 %), better: a; undecided: b.",
        "Forgetting against the reference ref (paired, 95 %), less: a; more: b.",
        "Of 4 comparisons with the reference, about 1 would look decided by chance alone.",
    )


CONTROLS = [
    (
        (0.71, around(-0.09, 0.025)),
        "ridge, a control that learns no prompt, is the most accurate of 2 learners: 0.800 after"
        " the last task. No prompted learner beats it: ref comes nearest, −0.090 (−0.115 to"
        " −0.065).",
    ),
    (
        (0.797, around(-0.003, 0.038)),
        "ridge, a control that learns no prompt, is the most accurate of 2 learners: 0.800 after"
        " the last task. No prompted learner is shown to beat it: ref comes nearest, −0.003"
        " (−0.041 to +0.035), undecided.",
    ),
    (
        (0.81, around(0.01, 0.043)),
        "ref is the most accurate of 2 learners: 0.810 after the last task. No prompted learner is"
        " shown to beat the best control, ridge (0.800): ref comes nearest, +0.010 (−0.033 to"
        " +0.053), undecided.",
    ),
    (
        (0.91, around(0.11, 0.025)),
        "ref is the most accurate of 2 learners: 0.910 after the last task. ref beats the best"
        " control, ridge (0.800), by +0.110 (+0.085 to +0.135).",
    ),
]


@pytest.mark.parametrize(("measured", "lead"), CONTROLS)
def test_the_verdict_says_whether_a_prompt_beats_the_best_control(
    measured: tuple[float, Difference], lead: str
) -> None:
    accuracy, over = measured
    kinds: dict[str, Kind] = {"ref": "prompt", "ridge": "control"}
    results = small(kinds, {"ref": accuracy, "ridge": 0.8}, over={"ref": against(over)})
    assert verdict(results).lead == lead


def test_several_that_beat_the_control_are_named() -> None:
    kinds: dict[str, Kind] = {"ref": "prompt", "b": "prompt", "ridge": "control"}
    over = {"ref": against(around(0.1)), "b": against(around(0.15))}
    lead = verdict(small(kinds, {"ref": 0.9, "b": 0.95, "ridge": 0.8}, over=over)).lead
    assert lead.endswith(
        "ref and b beat the best control, ridge (0.800), b by +0.150 (+0.140 to +0.160)."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_said_of_a_method(seeds: int) -> None:
    kinds: dict[str, Kind] = {"ref": "prompt", "ridge": "control"}
    over = {"ref": against(Difference(value=0.1, n=4))}
    found = verdict(
        small(
            kinds,
            {"ref": 0.9, "ridge": 0.8},
            seeds,
            over=over,
            flags={"ref": (MAJORITY,)},
        )
    )
    noun = "seed" if seeds == 1 else "seeds"
    assert found.lead == (
        f"Learned with {seeds} {noun}, so this speaks of these runs and of no method: ref† is the"
        " most accurate of 2 learners: 0.900 after the last task. No prompted learner is shown to"
        " beat the best control, ridge (0.800): ref† comes nearest, +0.100, undecided."
    )
    caution = found.lines[-1]
    ran = f"Every learner ran with {seeds} {noun}: below 3, no difference is to be believed."
    assert ran in caution
    assert caution.endswith("ref† carries a flag: read its footnote before comparing.")
