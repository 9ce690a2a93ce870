"""What a report claims of a transfer table: tallies, the verdict and its limits."""

from __future__ import annotations

import pytest
from made_transfer import (
    ENCODERS,
    FULL,
    GEOMETRY,
    baselines,
    conditions,
    make_transfer,
    method,
    tasks,
)
from scipy.stats import binom

from matboard.report.transfer.references import Comparison
from matboard.report.transfer.tally import Tally, by_encoder, by_model, score_card
from matboard.report.transfer.verdict import verdict
from matboard.results.parts import Difference
from matboard.results.transfer import GROUPS, TARGETS, Cell, Model, TransferResults

BETTER = Difference(value=0.1, low=0.05, high=0.15, n=100)
WORSE = BETTER.turned
UNDECIDED = Difference(value=0.0, low=-0.1, high=0.1, n=100)
FEW = Difference(value=0.1, n=4)


def one_task(
    versus: dict[str, dict[str, Difference]],
    encoders: dict[str, str],
    seeds: int = 3,
    values: dict[str, float] | None = None,
) -> TransferResults:
    """One method ``tvp`` on one task; of each model its differences to baselines.

    Args:
        values: of the baselines, the same for every model.
    """
    shown = [FULL, *baselines(), method("tvp", seeds)]
    values = {"full": 0.5, "shrunk": 0.4, "random": 0.3} | (values or {})
    cells = []
    for model, differences in versus.items():
        place = {
            "model": model,
            "task": tasks()[0].name,
            "metric": "accuracy",
            "n": 100,
        }
        cells += [
            Cell(condition=name, value=value, **place) for name, value in values.items()
        ]
        cells.append(Cell(condition="tvp", value=0.6, versus=differences, **place))
    known = [
        Model(
            name=name, encoder=encoders[name], shares_encoder=encoders[name] == "source"
        )
        for name in versus
    ]
    return TransferResults(
        models=tuple(known),
        tasks=tasks()[:1],
        conditions=tuple(shown),
        cells=tuple(cells),
    )


def test_the_best_baseline_is_that_of_the_model_and_task() -> None:
    results = make_transfer()
    comparison = Comparison(results, "ranking")
    for cell in comparison.learned:
        values = {}
        for name in ("full", "shrunk", "random"):
            values[name] = comparison.cells[cell.model, cell.task, name].value or 0.0
        best = max(values, key=lambda name: values[name])
        assert comparison.against(cell, "best") == cell.versus[best]
    assert comparison.references == ("best", "full", "shrunk", "random")


def test_a_prompt_is_compared_with_the_baselines_of_its_own_geometry() -> None:
    wide = "border 50 of 224"
    shown = [
        FULL,
        *baselines(),
        *baselines(wide, "@50"),
        method("tvp"),
        method("wide", geometry=wide, suffix="@50", registered="tvp"),
    ]
    comparison = Comparison(make_transfer(shown=shown), "ranking")
    for cell in comparison.learned:
        suffix = "@50" if cell.condition == "wide" else ""
        assert comparison.against(cell, "shrunk") == cell.versus[f"shrunk{suffix}"]


@pytest.mark.parametrize("seed", range(3))
def test_tallies_agree_with_counting_by_hand(seed: int) -> None:
    results = make_transfer(seed)
    comparison = Comparison(results, "ranking")
    groups = {model.name: model.group for model in results.models}
    for line in score_card(comparison):
        reference = next(
            r for r in comparison.references if line.against.startswith(WORDS[r])
        )
        for group in GROUPS:
            found = [
                comparison.against(cell, reference)
                for cell in results.cells
                if cell.condition == line.method.name
                and cell.scorer == "ranking"
                and groups[cell.model] == group
            ]
            decisions = [d.decision for d in found if d is not None]
            tally = line.tallies[group]
            counted = [tally.better, tally.worse, tally.undecided]
            assert counted == [
                decisions.count(d) for d in ("better", "worse", "undecided")
            ]


WORDS = {
    "best": "the best baseline",
    "full": "the full picture",
    "shrunk": "the shrunk picture",
    "random": "a random border",
}


def test_models_that_share_an_encoder_count_once() -> None:
    said = {"a": BETTER, "b": BETTER, "c": UNDECIDED, "d": WORSE, "e": FEW}
    encoders = {"a": "source", "b": "source", "c": "source", "d": "x", "e": ""}
    results = one_task({name: {"full": d} for name, d in said.items()}, encoders)
    comparison = Comparison(results, "ranking")
    tvp = results.methods[0]
    models = by_model(comparison, tvp, TARGETS, "best")
    assert (models.better, models.worse, models.undecided, models.too_few) == (
        2,
        1,
        1,
        1,
    )
    eyes = by_encoder(comparison, tvp, TARGETS, "best")
    assert (eyes.better, eyes.worse, eyes.undecided, eyes.too_few) == (1, 1, 0, 1)
    assert eyes.error == pytest.approx(0.025 * 3 / 2)  # two of three: Markov


def test_beyond_chance_is_a_binomial_tail() -> None:
    for better in range(10):
        tally = Tally(better=better, undecided=9 - better)
        tail = binom.sf(better - 1, 9, 0.025)
        assert tally.beyond_chance(3) == (better > 0 and tail < 0.05 / 3)


def test_nothing_that_is_drawn_equal_is_beyond_chance_more_often_than_promised() -> (
    None
):
    found = 0
    for seed in range(40):
        shown = [FULL, *baselines(), method("vp"), method("tvp")]
        results = make_transfer(seed, gain=0.0, shown=shown)
        found += "helps target models" in verdict(results).lead
    assert found <= 5  # at most 0.05 of 40 are expected


def test_below_three_seeds_nothing_is_claimed_beyond_these_pictures() -> None:
    encoders = {f"m{place}": f"e{place}" for place in range(9)}
    versus = {name: {"full": BETTER, "shrunk": BETTER} for name in encoders}
    for seeds in (1, 2):
        found = verdict(one_task(versus, encoders, seeds=seeds))
        noun = "seed" if seeds == 1 else "seeds"
        assert found.lead == (
            f"Learned with {seeds} {noun}, so this speaks of these prompts on these test pictures"
            " and of no method: against the best baseline of each model, TVP is better in all 9"
            " pairs of a target model and a task."
        )
        assert f"Every prompt was learned with {seeds} {noun}: below 3" in " ".join(
            found.lines
        )
    assert (
        verdict(one_task(versus, encoders)).lead
        == "TVP helps target models beyond chance."
    )


def test_many_models_of_one_encoder_are_one_witness() -> None:
    encoders = {f"m{place}": "source" for place in range(9)}
    results = one_task({name: {"full": BETTER} for name in encoders}, encoders)
    lead = verdict(results).lead
    tally = by_encoder(
        Comparison(results, "ranking"), results.methods[0], TARGETS, "best"
    )
    assert tally.total == 1
    assert not tally.beyond_chance(
        2
    )  # two methods looked at, and one witness is not enough
    assert lead == (
        "TVP helps target models beyond chance. No model with another encoder than the source’s"
        " was measured."
    )


def test_a_prompt_that_beats_the_full_picture_alone_does_not_help() -> None:
    encoders = {f"m{place}": f"e{place}" for place in range(9)}
    versus = {name: {"full": BETTER, "shrunk": UNDECIDED} for name in encoders}
    lead = verdict(one_task(versus, encoders, values={"shrunk": 0.6})).lead
    assert lead.startswith("TVP does not help the target models beyond chance")
    assert "but a black border gains as much, so the gain is not the prompt’s." in lead


def test_what_shrinking_costs_may_be_won_back() -> None:
    encoders = {f"m{place}": f"e{place}" for place in range(9)}
    versus = {name: {"full": UNDECIDED, "shrunk": BETTER} for name in encoders}
    lead = verdict(one_task(versus, encoders)).lead
    assert lead.endswith("It does win back some of what shrinking the picture costs.")


def test_too_few_samples_are_said() -> None:
    encoders = {"m": "e0", "k": "e1"}
    found = verdict(one_task({name: {"full": FEW} for name in encoders}, encoders))
    assert "TVP is measured on too few pictures in all 2 pairs" in found.lead
    assert "comparisons at 95 %" not in " ".join(found.lines)


def test_the_verdict_of_a_drawn_table() -> None:
    found = verdict(make_transfer(gain=0.12))
    assert found.lead == (
        "TVP helps target models beyond chance; VP and EVP do not. That is shown for models that"
        " share the source’s encoder, not for others."
    )
    encoders, models, source, caution = found.lines
    assert encoders.startswith(
        "Models that share a vision encoder are not independent. Counted"
    )
    assert (
        "better in 3, worse in 1, undecided in 5 of 9 pairs against the best baseline"
        in encoders
    )
    assert models.startswith(
        "Counted by model and task, against the best baseline of each model TVP is better in all 9"
        " pairs whose model shares the source’s encoder and "
    )
    assert source.startswith(
        "On the source itself, against its best baseline, TVP is better in all 3 pairs. These"
        " counts are by ranking; when scored by generation it is "
    )
    assert (
        caution
        == "Of 162 comparisons at 95 %, about 8 would look decided by chance alone."
    )


def test_methods_with_fewer_seeds_are_named_and_not_judged() -> None:
    shown = [FULL, *baselines(), method("vp", seeds=1), method("tvp")]
    found = verdict(make_transfer(gain=0.12, shown=shown))
    assert found.lead.startswith("TVP helps target models beyond chance. That is shown")
    assert "VP was learned with 1 seed: below 3" in " ".join(found.lines)


def test_there_may_be_nothing_to_judge() -> None:
    results = make_transfer()
    empty = TransferResults(conditions=results.conditions, tasks=results.tasks)
    assert verdict(empty).lead == (
        "No learned prompt was measured, so there is nothing to judge yet."
    )
    alone = results.model_copy(
        update={
            "models": results.models[:1],
            "cells": tuple(
                c for c in results.cells if c.model == results.models[0].name
            ),
        }
    )
    assert verdict(alone).lead == (
        "No target model was compared with a baseline, so nothing can be said about transfer."
    )
    assert verdict(alone).lines[0].startswith("On the source itself")


def test_drawn_tables_have_what_these_tests_count_on() -> None:
    assert {c.geometry for c in conditions()} == {None, GEOMETRY}
    assert len(set(ENCODERS.values())) == 3
