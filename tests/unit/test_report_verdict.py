"""What a report claims: tallies, the verdict and its limits."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binom
from transfer_run import MODELS, make_results

from matboard.report.results import parse_results
from matboard.report.verdict import Tally, score_card, verdict


@pytest.mark.parametrize("seed", range(3))
def test_tallies_agree_with_counting_by_hand(seed: int) -> None:
    raw = make_results(seed)
    results = parse_results(raw)
    groups = {
        name: "source" if source else "same" if shares else "other"
        for name, source, shares in MODELS
    }
    for score in score_card(results, "ranking"):
        for group, counted in score.tallies.items():
            better = worse = total = 0
            for cell in raw["cells"]:
                if (
                    cell["condition"] == score.method.name
                    and cell["scorer"] == "ranking"
                    and groups[cell["model"]] == group
                ):
                    difference = cell["versus"][score.baseline.name]
                    better += difference["low"] > 0
                    worse += difference["high"] < 0
                    total += 1
            assert counted == Tally(better, worse, total - better - worse)


@pytest.mark.parametrize("methods", [1, 3])
def test_beyond_chance_is_a_binomial_test(methods: int) -> None:
    for total in (1, 6, 15, 40):
        for better in range(total + 1):
            expected = better > 0 and float(binom.sf(better - 1, total, 0.025)) < 0.05 / methods
            assert Tally(better, 0, total - better).beyond_chance(methods) == expected
    assert not Tally(10, 10, 0).beyond_chance(methods)


def small_results(
    decisions: dict[str, list[tuple[float, float]]], seeds: int = 3
) -> dict[str, Any]:
    """One source, two targets with its encoder, one with another; ``decisions``: method → (against
    full, against shrunk) a model.
    """
    names = ["src", "a", "b", "far"]

    def difference(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.05, "high": value + 0.05}

    return {
        "models": [
            {"name": n, "is_source": n == "src", "shares_encoder": n != "far"} for n in names
        ],
        "tasks": [{"name": "t"}],
        "conditions": (
            [{"name": "full", "kind": "baseline"}, {"name": "shrunk", "kind": "baseline"}]
            + [{"name": m, "label": m.upper(), "kind": "method"} for m in decisions]
        ),
        "cells": [
            {"model": n, "task": "t", "condition": m, "value": 0.5, "seeds": [0.5] * seeds}
            | {"versus": {"full": difference(full), "shrunk": difference(shrunk)}}
            for m, pairs in decisions.items()
            for n, (full, shrunk) in zip(names, pairs)
        ],
    }


def test_the_verdict_says_whom_a_prompt_helps() -> None:
    found = verdict(
        parse_results(
            small_results(
                {"vp": [(0, 0)] * 4, "tvp": [(0.1, 0.2), (0.1, 0.1), (0.1, 0.2), (-0.1, 0)]}
            )
        )
    )
    assert found.lead == "TVP helps target models beyond chance; VP does not."
    assert (
        found.body
        == "Of the 2 methods TVP did best, counted in pairs of a target model and a task at 95 %:"
        " against the full picture without a prompt it is better in all 2 pairs whose model"
        " shares the source’s encoder and worse in the one pair whose model has another encoder;"
        " against the shrunk picture with a black border it is better in all 2 pairs whose model"
        " shares the source’s encoder and undecided in the one pair whose model has another"
        " encoder. On the source itself, against the full picture, TVP is better in the one"
        " pair. Of 16 comparisons at 95 %, about 1 would look decided by chance alone."
    )


def test_the_verdict_is_honest_when_nothing_helps() -> None:
    found = verdict(
        parse_results(small_results({"tvp": [(0.1, 0.2), (0, 0.2), (-0.1, 0.2), (0, 0)]}, seeds=1))
    )
    assert (
        found.lead
        == "TVP does not help the target models beyond chance: against the full picture without a"
        " prompt, TVP is worse in 1, undecided in 2 of 3 model–task pairs. It does win back some"
        " of what shrinking the picture costs."
    )
    assert found.body.endswith(
        "Every prompt was learned with 1 seed: below 3, the intervals speak of these test pictures"
        " and not of the luck of training."
    )


def test_a_gain_that_shrinking_alone_has_is_not_the_prompts() -> None:
    found = verdict(parse_results(small_results({"evp": [(0.2, 0.1)] * 4, "tvp": [(0.2, 0)] * 4})))
    assert found.lead == "EVP helps target models beyond chance; TVP does not."
    found = verdict(parse_results(small_results({"tvp": [(0.2, 0)] * 4})))
    assert found.lead.endswith(
        "better in all 3 model–task pairs. But shrinking the picture behind a black border gains as"
        " much, so the gain is not the prompt’s."
    )


def test_a_gain_that_a_flat_border_has_is_not_the_prompts() -> None:
    results = small_results({"tvp": [(0.2, 0.2)] * 4})
    results["conditions"].append({"name": "flat", "kind": "baseline"})
    for cell in results["cells"]:
        cell["versus"]["flat"] = {"value": 0.0, "low": -0.05, "high": 0.05}
    lead = verdict(parse_results(results)).lead
    assert lead.endswith(
        "But shrinking the picture behind an unlearned border gains as much, so the gain is not the"
        " prompt’s."
    )


def test_the_verdict_does_not_claim_what_was_not_measured() -> None:
    assert (
        verdict(parse_results({})).lead
        == "No learned prompt was measured, so there is nothing to judge yet."
    )
    only_source = small_results({"tvp": [(0.1, 0.2)]})
    assert (
        verdict(parse_results(only_source)).lead
        == "No target model was compared with the full picture, so nothing can be said about"
        " transfer."
    )
    strangers = small_results({"tvp": [(0.1, 0.1)] * 4})
    strangers["models"] = [{"name": m["name"]} for m in strangers["models"]]
    assert "better in all 4 pairs;" in verdict(parse_results(strangers)).body
    assert "encoder" not in verdict(parse_results(strangers)).body
