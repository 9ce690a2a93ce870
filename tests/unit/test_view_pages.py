"""Pages, tables and figures of searches and of costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from made_views import made_cost, made_search, write_run
from recorded_runs import text_of
from typer.testing import CliRunner

from matboard.cli import app
from matboard.report import write_report
from matboard.report.cost import cost_table, cost_view
from matboard.report.dots import Tried, draw_tried
from matboard.report.search import search_view


def test_a_search_has_its_trials_best_first_and_a_figure_a_key(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_search())
    words = text_of(write_report(tmp_path / "run").read_text())
    assert "A search Of 4 trials number 1 scores 0.750, the best: lr 30," in words
    rows = "1 0.750 complete 30 20 False 0 0.500 complete 3 10 True 2 0.250 pruned 90 50 True"
    assert rows in words
    drawings = search_view(made_search()).drawings
    assert [one.title for one in drawings] == [
        "score over lr",
        "score over prompt.width",
        "score over diversity",
    ]
    assert (
        'aria-label="Validation score over lr, best 0.750 at 30.0"' in drawings[0].svg
    )
    for (
        drawing
    ) in drawings:  # three trials have a score: two were whole, one has a ring
        assert len(re.findall(r"<use [^>]*fill: var\(--m0\)", drawing.svg)) == 2
        assert len(re.findall(r"<use [^>]*fill: var\(--surface\)", drawing.svg)) == 1
        assert len(re.findall(r"<use [^>]*stroke: var\(--ink\)", drawing.svg)) == 1
    assert ">False</text>" in drawings[2].svg and ">True</text>" in drawings[2].svg


def test_values_that_are_words_and_numbers_stand_beside_each_other() -> None:
    """Such as a resolution of 8, or none."""
    tried = [Tried(None, 0.5, whole=True, best=True), Tried(8, 0.25, whole=True)]
    svg = draw_tried("prompt.resolution", tried, log=True).svg
    assert ">8</text>" in svg and ">None</text>" in svg


def test_costs_are_said_in_units_that_people_read(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_cost())
    words = text_of(write_report(tmp_path / "run").read_text())
    assert (
        "On small with 1,000 weights, what is kept for 6 models: border 1.2 kB and full"
        " fine-tuning 24.0 kB. A step of each takes 0.500 s and 1.000 s."
    ) in words
    rows = {
        name: [cell.line for cell in cells]
        for name, cells in cost_table(made_cost()).rows
    }
    assert rows["full fine-tuning"] == [
        "1,000",
        "100 %",
        "1.000 s 0.400 to 1.100",
        "2.00",
        "2.0 MB",
        "8.0 kB",
        "4.0 kB",
        "24.0 kB",
    ]
    drawings = cost_view(made_cost()).drawings
    assert [drawing.title for drawing in drawings] == [
        "trainable numbers",
        "time of a step",
        "memory of a step and its optimiser",
        "kept for 6 models",
    ]
    said = "memory of a step and its optimiser: border 2.0 MB, full fine-tuning 2.0 MB"
    assert f'aria-label="{said}"' in drawings[2].svg
    for drawing, number in zip(
        drawings, ("1 k", "0.5 s", "2.0 MB", "24.0 kB"), strict=True
    ):
        assert f">{number}</text>" in drawing.svg


def test_both_have_rows_for_programs(tmp_path: Path) -> None:
    write_run(tmp_path / "search", made_search())
    write_run(tmp_path / "cost", made_cost())
    told = CliRunner().invoke(app, ["report", str(tmp_path / "search"), "--csv"]).stdout
    assert told.splitlines()[:2] == [
        "trial,score,ended,seconds,methods.tvp.lr,prompt.width,methods.tvp.diversity",
        "1,0.75,complete,,30.0,20,False",
    ]
    told = CliRunner().invoke(app, ["report", str(tmp_path / "cost"), "--json"]).stdout
    rows = json.loads(told)
    assert rows == [cost.model_dump() for cost in made_cost().costs]
