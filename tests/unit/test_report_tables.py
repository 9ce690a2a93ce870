"""What a report shows of a transfer table's numbers: arranged, in a terminal, as CSV, shaded."""

from __future__ import annotations

import csv
import io

import pytest
from made_transfer import (
    ENCODERS,
    FULL,
    GEOMETRY,
    METHODS,
    TASKS,
    N,
    baselines,
    make_transfer,
    method,
)
from rich.console import Console

from matboard.report import transfer_table_csv, transfer_table_text
from matboard.report.transfer.references import Comparison
from matboard.report.transfer.shade import Shade
from matboard.report.transfer.table import arrange
from matboard.report.words import duration, fixed, percent, plural, signed, size
from matboard.results.parts import Difference
from matboard.results.transfer import Condition, TransferResults

WIDE = "border 50 of 224"
TWO_GEOMETRIES = [
    FULL,
    *baselines(),
    *baselines(WIDE, "@50"),
    method("tvp"),
    method("wide", geometry=WIDE, suffix="@50", registered="tvp"),
]


def printed(results: TransferResults, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(transfer_table_text(results))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_rows_are_models_by_group_and_columns_conditions() -> None:
    table = arrange(make_transfer(), "ranking")
    names = ["full", "shrunk", "random", *METHODS]
    assert [condition.name for condition in table.conditions] == names
    assert [block.task.name for block in table.blocks] == list(TASKS)
    for block in table.blocks:
        rows = [row.model.name for group in block.groups for row in group.rows]
        assert rows == list(ENCODERS)
        assert [group.group for group in block.groups] == ["source", "same", "other"]
        assert block.same_n == N


def test_baselines_stand_before_the_methods_of_their_geometry() -> None:
    table = arrange(make_transfer(shown=TWO_GEOMETRIES), "ranking")
    assert [
        (part.geometry, [c.name for c in part.conditions]) for part in table.columns
    ] == [
        (None, ["full"]),
        (GEOMETRY, ["shrunk", "random", "tvp"]),
        (WIDE, ["shrunk@50", "random@50", "wide"]),
    ]
    assert table.geometries == (GEOMETRY, WIDE)
    assert table.gaps == {1, 4}


def test_means_leave_out_pairs_that_miss_a_condition() -> None:
    results = make_transfer()
    left_out = ("tiny-blip2", next(iter(TASKS)), "evp")
    kept = [c for c in results.cells if (c.model, c.task, c.condition) != left_out]
    table = arrange(results.model_copy(update={"cells": tuple(kept)}), "ranking")
    line = next(m for m in table.means if (m.group, m.metric) == ("same", "accuracy"))
    assert line.pairs == 5
    cells = results.by_place("ranking")
    same = ["tiny-blip2", "tiny-instructblip", "tiny-vpgtrans"]
    pairs = [(model, task) for model in same for task in list(TASKS)[:2]]
    pairs.remove(left_out[:2])
    for condition, mean in zip(table.conditions, line.means, strict=True):
        values = [cells[*pair, condition.name].value or 0.0 for pair in pairs]
        assert mean.value == pytest.approx(sum(values) / 5)
        if condition.role == "method":
            full = [
                cells[*pair, condition.name].versus["full"].value or 0.0
                for pair in pairs
            ]
            assert mean.differences["full"] == pytest.approx(sum(full) / 5)


def test_csv_holds_every_number_unrounded() -> None:
    results = make_transfer()
    rows = list(csv.DictReader(io.StringIO(transfer_table_csv(results))))
    comparison = Comparison(results, "ranking")
    for row, cell in zip(rows, results.cells, strict=True):
        place = (row["model"], row["task"], row["condition"], row["scorer"])
        assert place == (cell.model, cell.task, cell.condition, cell.scorer)
        assert (float(row["value"]), float(row["low"])) == (cell.value, cell.low)
        assert [float(seed) for seed in row["seeds"].split()] == list(cell.seeds)
        assert row["geometry"] == (results.condition(cell.condition).geometry or "")
        for name in ("full", "shrunk", "random"):
            low = cell.versus[name].low if name in cell.versus else None
            assert row[f"versus_{name}_low"] == ("" if low is None else str(low))
        if cell.scorer == "ranking":
            assert row["best_baseline"] == (comparison.best(cell) or "")


def test_the_terminal_marks_against_the_best_baseline_and_takes_names_literally() -> (
    None
):
    text = printed(renamed(make_transfer(), "tiny-blip2", "[red]odd[/red]"))
    assert "[red]odd[/red]" in text
    header = next(line for line in text.splitlines() if "shrunk" in line)
    assert header.split() == ["model", "full", "shrunk", "random", *METHODS]
    results = make_transfer()
    cell = next(cell for cell in results.cells if cell.condition == "tvp")
    difference = Comparison(results, "ranking").against(cell, "best")
    assert difference is not None
    assert difference.decision == "better"
    assert f"{cell.value:.3f}▲" in text
    assert f"{cell.low:.2f}–{cell.high:.2f}".replace("0.", ".") in text
    assert "worse than the best baseline of that model" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())


def renamed(results: TransferResults, old: str, new: str) -> TransferResults:
    models = [
        m.model_copy(update={"name": new}) if m.name == old else m
        for m in results.models
    ]
    cells = [
        c.model_copy(update={"model": new}) if c.model == old else c
        for c in results.cells
    ]
    return results.model_copy(update={"models": tuple(models), "cells": tuple(cells)})


def test_baselines_alone_are_not_marked() -> None:
    results = make_transfer(shown=[FULL, *baselines()])
    assert "▼" not in printed(results).split("95 % intervals")[0]


def test_each_geometry_has_a_table_of_its_own_in_the_terminal() -> None:
    text = printed(make_transfer(shown=TWO_GEOMETRIES))
    narrow, wide = text.split(WIDE)
    assert GEOMETRY in narrow
    for part, name in ((narrow, "tvp"), (wide, "wide")):
        header = next(line for line in part.splitlines() if "shrunk" in line)
        assert header.split() == ["model", "full", "shrunk", "random", name]


def test_many_methods_are_broken_into_several_tables() -> None:
    names = [f"lr{place}" for place in range(7)]
    results = make_transfer(
        shown=[FULL, *baselines(), *(method(name) for name in names)]
    )
    headers = [
        line.split() for line in printed(results).splitlines() if "shrunk" in line
    ]
    assert [header[4:] for header in headers] == [names[:3], names[3:6], names[6:]]


def test_too_few_samples_and_failures_are_said() -> None:
    few = printed(make_transfer(few=True))
    assert "few: too few test samples for an interval" in few
    assert "▲" not in few.split("95 % intervals")[0]
    results = make_transfer()
    cells = list(results.cells)
    cells[0] = cells[0].model_copy(
        update={
            "value": None,
            "low": None,
            "high": None,
            "failed": "It ran out of memory.",
        }
    )
    text = printed(results.model_copy(update={"cells": tuple(cells)}))
    assert "failed" in text
    assert "It ran out of memory." in transfer_table_csv(
        results.model_copy(update={"cells": tuple(cells)})
    )


def test_a_tasks_other_metrics_are_told_beside() -> None:
    results = make_transfer()
    first, *others = results.cells
    first = first.model_copy(update={"also": {"accuracy": 0.8125, "yes-rate": 0.5}})
    results = results.model_copy(update={"cells": (first, *others)})
    lines = printed(results).splitlines()
    assert any("acc .81" in line for line in lines)
    assert any("yes .50" in line for line in lines)
    assert "yes: yes-rate" in printed(results)
    rows = list(csv.DictReader(io.StringIO(transfer_table_csv(results))))
    assert rows[0]["also"] == "accuracy=0.8125 yes-rate=0.5"
    assert rows[1]["also"] == ""


def test_an_empty_table_is_said() -> None:
    empty = TransferResults(conditions=(FULL, *baselines()))
    assert (
        printed(empty).strip() == "Nothing was measured: there is no model, or no task."
    )
    assert len(transfer_table_csv(empty).splitlines()) == 1


def test_shade_diverges_around_each_reference() -> None:
    results = make_transfer()
    shade = Shade(results)
    comparison = Comparison(results, "ranking")
    found = [shade.differences(cell) for cell in results.cells]
    largest = max(abs(value) for each in found for value in each.values())
    assert shade.span / 3 < largest <= shade.span
    for cell in comparison.cells.values():
        for reference, difference in shade.differences(cell).items():
            expected = comparison.against(cell, reference)
            assert expected is not None
            assert difference == expected.value
    shrunk = comparison.cells["tiny-blip2", next(iter(TASKS)), "shrunk"]
    assert list(shade.differences(shrunk)) == ["full"]
    style = shade.style({"best": shade.span / 2, "full": -shade.span, "random": 0.0})
    assert style == (
        "--best-end: var(--better); --best-amount: 50%; "
        "--full-end: var(--worse); --full-amount: 100%"
    )


def test_a_difference_without_an_interval_is_undecided() -> None:
    assert Difference(value=0.4, n=3).decision == "undecided"


def test_a_condition_that_no_cell_names_has_no_column() -> None:
    results = make_transfer()
    more = Condition(name="late", label="LATE", role="method", geometry=GEOMETRY)
    more_columns = results.model_copy(
        update={"conditions": (*results.conditions, more)}
    )
    assert "late" not in [c.name for c in arrange(more_columns, "ranking").conditions]


def test_generated_answers_are_scored_by_accuracy_whatever_the_tasks_metric() -> None:
    results = make_transfer()
    task = results.tasks[2]
    assert task.metric == "auc"
    cells = tuple(
        cell.model_copy(update={"metric": "accuracy"})
        if cell.scorer == "generation"
        else cell
        for cell in results.cells
    )
    results = results.model_copy(update={"cells": cells})
    ranked, generated = (arrange(results, scorer) for scorer in results.scorers)
    assert [block.metric for block in ranked.blocks][-1] == "auc"
    assert {block.metric for block in generated.blocks} == {"accuracy"}
    assert {line.metric for line in ranked.means} == {"accuracy", "auc"}
    assert [(line.metric, line.pairs) for line in generated.means] == [
        ("accuracy", 3),
        ("accuracy", 9),
        ("accuracy", 6),
    ]
    assert "auc by generation" not in printed(results, width=200)


def test_numbers_in_words() -> None:
    assert [percent(share) for share in (0.0, 0.001, 0.124)] == ["0 %", "<1 %", "12 %"]
    numbers = [
        fixed(0.61249),
        fixed(None),
        signed(-0.02),
        signed(0.02, 2),
        signed(None),
    ]
    assert numbers == ["0.612", "–", "−0.020", "+0.02", "–"]
    sizes = [size(count) for count in (456, 12_340, 456_789, 1.2e9)]
    assert sizes == ["456 B", "12.3 kB", "457 kB", "1.2 GB"]
    times = [duration(seconds) for seconds in (7.4, 171.3, 3600 * 3 + 60 * 20)]
    assert times == ["7 s", "2 min 51 s", "3 h 20 min"]
    assert [plural(1, "seed"), plural(0, "seed")] == ["1 seed", "0 seeds"]
