"""Learning curves: which quantities share a panel, and bins that are averaged alike."""

from __future__ import annotations

import re

import numpy as np
import pytest

from matboard.report.curves import (
    POINTS,
    Quantity,
    binned,
    curves,
    draw_panel,
    panel_each_quantity,
    panel_of_losses,
    panels_of_one,
)
from matboard.results import StepRow


def steps(count: int, run: str = "", level: float = 1.0) -> list[StepRow]:
    terms = {"task_loss": level, "feature_consistency": 0.1}
    return [
        StepRow(
            run=run,
            step=step,
            loss=None if step == 3 else level + 0.1,
            losses=terms,
            lr=10.0,
            gradient_norms={"task_loss": 2.0, "total": 2.0} if step % 10 == 1 else {},
            per_model={"a": {"task_loss": level}},
        )
        for step in range(1, count + 1)
    ]


def test_what_is_not_finite_or_not_logged_leaves_a_gap() -> None:
    found = curves(steps(20))
    assert len(found[Quantity("losses", "task_loss")]) == 20
    assert [step for step, _ in found[Quantity("loss", "loss")]] == [
        step for step in range(1, 21) if step != 3
    ]
    assert [step for step, _ in found[Quantity("gradient_norms", "total")]] == [1, 11]


@pytest.mark.parametrize("count", [1, 59, 60, 61, 89, 119, 121, 205, 1000, 1013])
def test_no_bin_is_averaged_over_much_fewer_steps_than_another(count: int) -> None:
    bins = binned([(step, float(step)) for step in range(count)])
    sizes = [int(each.high - each.low) + 1 for each in bins]
    assert sum(sizes) == count
    assert len(sizes) <= POINTS + 1
    assert len(set(sizes[1:])) <= 1  # only the first may differ
    assert max(sizes) <= 2 * min(sizes)


def test_a_curve_of_noise_is_as_steady_at_its_end_as_in_its_middle() -> None:
    """Bins of unequal sizes made the last ones spread more than the first."""
    rng = np.random.default_rng(0)
    middle, end = [], []
    for _ in range(200):
        means = [
            each.mean for each in binned(list(enumerate(rng.normal(size=115).tolist())))
        ]
        middle.append(np.std(means[20:35]))
        end.append(np.std(means[-15:]))
    assert np.mean(end) == pytest.approx(np.mean(middle), rel=0.1)


def test_every_bin_holds_all_seeds_of_its_steps() -> None:
    points = sorted((step, float(seed)) for step in range(100) for seed in range(3))
    for each in binned(points):
        assert (each.low, each.high) == (0.0, 2.0)
        assert each.mean == pytest.approx(1.0)


def test_the_panels_of_one_fit() -> None:
    panels = panels_of_one(steps(20))
    titles = ["whole loss", "task loss", "feature consistency (FCA)", "gradient norm"]
    assert [panel.title for panel in panels] == titles
    assert [line.label for line in panels[-1].lines] == ["task loss", "total"]
    assert panels[-1].logarithmic


def test_two_source_models_have_curves_of_their_own() -> None:
    row = StepRow(
        step=1, loss=1.0, per_model={"a": {"task_loss": 1.0}, "b": {"task_loss": 2.0}}
    )
    panel = panels_of_one([row])[-1]
    assert panel.title == "task loss, each model"
    assert [line.label for line in panel.lines] == ["a", "b"]


def test_a_study_has_a_line_a_variant_over_all_its_seeds() -> None:
    logged = {
        "vp": steps(2),
        "evp": [],
        "tvp": [*steps(2, "a", 2.0), *steps(2, "b", 4.0)],
    }
    panels = panel_each_quantity(logged)
    task = next(panel for panel in panels if panel.title == "task loss")
    assert [(line.label, line.colour, line.points) for line in task.lines] == [
        ("vp", 0, ((1, 1.0), (2, 1.0))),
        ("tvp", 2, ((1, 2.0), (1, 4.0), (2, 2.0), (2, 4.0))),
    ]


def test_a_stream_shows_the_terms_of_its_loss() -> None:
    panel = panel_of_losses("l2p", steps(5))
    labels = ["whole loss", "task loss", "feature consistency (FCA)"]
    assert [line.label for line in panel.lines] == labels
    single = [StepRow(step=1, loss=1.0, losses={"task_loss": 1.0})]
    assert [line.label for line in panel_of_losses("ridge", single).lines] == [
        "whole loss"
    ]


def test_what_stays_at_zero_has_no_panel_and_no_line() -> None:
    rows = [
        StepRow(
            step=step,
            loss=0.0,
            losses={"task_loss": 0.0, "pull": 0.0, "elbo": step - 1.0},
            gradient_norms={"task_loss": 0.0},
        )
        for step in (1, 2)
    ]
    alone = [panel.title for panel in panels_of_one(rows)]
    assert alone == ["whole loss", "elbo"]
    beside = panel_each_quantity({"a": rows, "b": steps(2)})
    task = next(panel for panel in beside if panel.title == "task loss")
    assert [line.label for line in task.lines] == ["a", "b"]
    assert "pull" not in [panel.title for panel in beside]
    lines = panel_of_losses("l2p", rows).lines
    assert [line.label for line in lines] == ["whole loss"]  # of one term: the same


def test_panels_are_drawn_in_the_pages_colours() -> None:
    for panel in panels_of_one(steps(130)):
        drawing = draw_panel(panel)
        assert "var(--m0)" in drawing.svg
        colours = set(re.findall(r"(?:fill|stroke): (#\w+)", drawing.svg))
        assert colours <= {"#ffffff"}  # hidden backgrounds
