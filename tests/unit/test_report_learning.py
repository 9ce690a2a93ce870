"""The panel on learning: validation scores, the prompt that was kept, how each fit ended."""

from __future__ import annotations

import re
from pathlib import Path

from recorded_runs import TRANSFER, text_of

from matboard.report import write_report
from matboard.report.run_folder import read_folder
from matboard.report.transfer.learning import (
    Validated,
    converged,
    draw_validations,
    validations,
)
from matboard.results import FitResults, StepRow


def logged(
    run: str, scores: dict[int, dict[str, float]], start: float
) -> list[StepRow]:
    """Five steps, the untouched pictures at 0.9 and 0.7."""
    rows = []
    for step in range(1, 6):
        references = {}
        if step == 1:
            same = {"a": start, "b": start}
            references = {"untouched": {"a": 0.9, "b": 0.7}, "start": same}
        rows.append(
            StepRow(
                run=run,
                step=step,
                loss=1.0,
                validation=scores.get(step, {}),
                references=references,
            )
        )
    return rows


def ended(converged: bool | None) -> FitResults:
    return FitResults(
        variant="vp",
        method="vp",
        seed=0,
        steps=3,
        longest=3,
        converged=converged,
        prompt="prompt",
    )


def test_scores_are_means_over_models_from_the_start_on() -> None:
    one = logged("a", {2: {"a": 0.4, "b": 0.6}, 4: {"a": 0.7, "b": 0.9}}, start=0.3)
    two = logged("b", {2: {"a": 0.2, "b": 0.2}}, start=0.5)
    first, second = validations([*one, *two, StepRow(run="c", step=1, loss=1.0)])
    assert first.points == ((0, 0.3), (2, 0.5), (4, 0.8))
    assert first.untouched == 0.8
    assert second.best == (0, 0.5)


def test_of_equal_scores_the_first_was_kept() -> None:
    assert Validated(((0, 0.5), (2, 0.8), (4, 0.8)), 0.9).best == (2, 0.8)


def test_every_fit_has_a_line_and_a_ring_in_its_variants_colour() -> None:
    fit = Validated(((0, 0.5), (2, 0.8)), 0.9)
    svg = draw_validations([[fit, fit], [], [fit]]).svg
    rings = re.findall(r"fill: var\(--surface\); stroke: var\(--(m\d)\)", svg)
    assert rings == ["m0", "m0", "m2"]
    assert svg.count("stroke-dasharray: 2,3") == 3


def test_how_many_had_converged_is_counted() -> None:
    assert converged([ended(True), ended(True)]) == "2 of 2 fits had converged."
    some = [ended(True), ended(False), ended(None), ended(False)]
    assert converged(some) == (
        "1 of 4 fits had converged; 2 had not when their steps ran out; of 1 it cannot be told."
    )


def test_the_page_says_how_each_fit_ended(tmp_path: Path) -> None:
    words = text_of(write_report(TRANSFER, tmp_path / "page.html").read_text())
    fits = read_folder(TRANSFER).outcomes
    assert fits["wide-s0"].best_step is not None
    for name, fit in fits.items():
        assert f"{name}: {fit.convergence}" in words
    assert "a ring marks the prompt that was kept" in words
    assert "validation score" in words


def test_scores_are_drawn_over_the_pictures_that_they_cost_too() -> None:
    rows = logged("a", {2: {"a": 0.4, "b": 0.6}, 4: {"a": 0.7, "b": 0.9}}, start=0.3)
    paid = [row.model_copy(update={"queries": 40 * row.step}) for row in rows]
    (found,) = validations(paid, "queries")
    assert found.points == ((0, 0.3), (80, 0.5), (160, 0.8))
    drawing = draw_validations([[found]], "queries")
    assert drawing.title == "validation score over pictures shown to the source models"
    (before,) = validations(rows, "queries")  # runs of before it was counted
    assert before.points == ((0, 0.3),)
