"""What a report shows of numbers: tables, CSV, shades, learning curves, formats."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from transfer_run import BASELINES, METHODS, MODELS, TASKS, N, make_results, make_run

from matboard.errors import RunError
from matboard.report import transfer_table_csv, transfer_table_text
from matboard.report.curves import panels
from matboard.report.page import Shade
from matboard.report.rendering import duration, fixed, signed, size
from matboard.report.results import parse_results
from matboard.report.run_view import Curve, read_run
from matboard.report.transfer_table import blocks, group_means


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "demo")


def test_blocks_put_baselines_and_the_source_first() -> None:
    for block, (task, _, _) in zip(
        blocks(parse_results(make_results()), "ranking"), TASKS, strict=True
    ):
        assert block.task.name == task
        assert [c.name for c in block.conditions] == ["full", "shrunk", "random", *METHODS]
        assert [row.model.name for section in block.sections for row in section.rows] == [
            name for name, _, _ in MODELS
        ]
        assert block.same_n == N


def test_means_leave_out_pairs_that_miss_a_condition() -> None:
    raw = make_results()
    raw["cells"] = [
        c
        for c in raw["cells"]
        if (c["model"], c["task"], c["condition"]) != ("tiny-blip2", TASKS[0][0], "evp")
    ]
    line = next(
        m
        for m in group_means(parse_results(raw), "ranking")
        if (m.group, m.metric) == ("same", "accuracy")
    )
    kept = [
        (m, t)
        for m, source, shares in MODELS
        if shares and not source
        for t, metric, _ in TASKS
        if metric == "accuracy"
    ]
    kept.remove(("tiny-blip2", TASKS[0][0]))
    assert line.pairs == len(kept) == 5
    values = {
        (c["model"], c["task"], c["condition"]): c["value"]
        for c in raw["cells"]
        if c["scorer"] == "ranking"
    }
    for condition, mean in zip(["full", "shrunk", "random", *METHODS], line.values, strict=True):
        assert mean == pytest.approx(np.mean([values[m, t, condition] for m, t in kept]))


def test_csv_holds_every_number_unrounded() -> None:
    raw = make_results()
    rows = list(csv.DictReader(io.StringIO(transfer_table_csv(raw))))
    assert len(rows) == len(raw["cells"])
    for row, cell in zip(rows, raw["cells"]):
        assert (row["model"], row["task"], row["condition"], row["scorer"]) == tuple(
            cell[k] for k in ("model", "task", "condition", "scorer")
        )
        assert [float(row[k]) for k in ("value", "low", "high")] == [
            cell[k] for k in ("value", "low", "high")
        ]
        assert [float(seed) for seed in row["seeds"].split()] == cell["seeds"]
        for baseline, _ in BASELINES:
            difference = cell["versus"].get(baseline)
            assert row[f"versus_{baseline}_low"] == (str(difference["low"]) if difference else "")


def test_terminal_table_reads_well_and_takes_names_literally() -> None:
    raw = make_results()
    for thing in (raw["models"][1], *(c for c in raw["cells"] if c["model"] == "tiny-blip2")):
        thing["name" if "name" in thing else "model"] = "[red]odd[/red]"
    raw["cells"] = [
        c for c in raw["cells"] if not (c["model"] == "tiny-bliva" and c["condition"] == "vp")
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(transfer_table_text(raw))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]odd[/red]" in text
    header = next(line for line in text.splitlines() if "shrunk" in line)
    assert header.split() == ["model", "full", "shrunk", "random", *METHODS]
    cell = next(c for c in raw["cells"] if c["condition"] == "tvp")
    assert f"{cell['value']:.3f}▲" in text
    assert f"{cell['low']:.2f}–{cell['high']:.2f}".replace("0.", ".") in text
    row = next(line for line in text.splitlines() if "tiny-bliva" in line)
    assert row.split()[4] == "–"
    with pytest.raises(RunError, match="schema 9"):
        transfer_table_text({"schema": 9})


def test_shade_diverges_around_the_full_picture() -> None:
    results = parse_results(make_results())
    shade = Shade(results)
    cells = results.by_place("ranking")
    largest = max(abs(shade.difference(cell) or 0) for cell in results.cells)
    assert shade.span / 3 < largest <= shade.span
    for (model, task, condition), cell in cells.items():
        expected = cell.value - cells[model, task, "full"].value  # type: ignore[operator]
        assert shade.difference(cell) == pytest.approx(expected)
        if condition == "full":
            assert shade.style(shade.difference(cell)) == ""
    assert shade.style(shade.span / 2) == "--end: var(--better); --amount: 50%"
    assert shade.style(-shade.span) == "--end: var(--worse); --amount: 100%"


def test_the_log_is_read_with_its_gaps(run: Path) -> None:
    view = read_run(run)  # its last line is cut, and one loss is NaN
    curves = view.curves[""]
    assert len(curves["task_loss",].steps) == 200
    assert len(curves["loss",].steps) == 199
    assert curves["gradient_norm", "total"].steps == list(range(1, 201, 5))
    assert view.skipped == 1


def test_panels_of_one_run_and_of_a_study() -> None:
    curve = Curve([1, 2], [3.0, 4.0])
    keys = [
        ("lr",),
        ("loss",),
        ("gradient_norm", "total"),
        ("gradient_norm", "task_loss"),
        ("per_model", "a", "task_loss"),
    ]
    one = panels({"": dict.fromkeys(keys, curve)}, [])
    assert [p.title for p in one] == ["whole loss", "gradient norm"]
    assert [line.label for line in one[1].lines] == ["task loss", "total"]
    ensemble = panels({"": dict.fromkeys([*keys, ("per_model", "b", "task_loss")], curve)}, [])
    assert [line.label for line in ensemble[-1].lines] == ["a", "b"]
    study = panels(
        {"vp-s0": {("loss",): curve}, "tvp-s0": {("loss",): curve}, "tvp-s1": {("loss",): curve}},
        ["vp", "evp", "tvp"],
    )
    assert [(line.label, line.colour, line.curve.values) for line in study[0].lines] == [
        ("vp", 0, [3, 4]),
        ("tvp", 2, [3, 3, 4, 4]),
    ]


def test_formats() -> None:
    assert [fixed(0.61249), fixed(None), signed(-0.02), signed(0.02, 2)] == [
        "0.612",
        "–",
        "−0.020",
        "+0.02",
    ]
    assert [size(b) for b in (456, 12_340, 456_789, 1.2e9)] == [
        "456 B",
        "12.3 kB",
        "457 kB",
        "1.2 GB",
    ]
    assert [duration(s) for s in (7.4, 171.3, 3600 * 3 + 60 * 20)] == [
        "7 s",
        "2 min 51 s",
        "3 h 20 min",
    ]
