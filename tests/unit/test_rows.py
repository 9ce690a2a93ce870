"""Tables for other programs: the same rows as CSV and as JSON, alone on stdout."""

from __future__ import annotations

import csv
import io
import json

import pytest
from recorded_runs import STREAM, TRANSFER
from typer.testing import CliRunner

from matboard.cli import app
from matboard.results import read


@pytest.mark.parametrize("run, rows", [(TRANSFER, "cells"), (STREAM, "learners")])
def test_report_prints_the_table_in_either_form(run, rows):
    told = CliRunner().invoke(app, ["report", str(run), "--csv"])
    lines = list(csv.DictReader(io.StringIO(told.stdout)))
    objects = json.loads(CliRunner().invoke(app, ["report", str(run), "--json"]).stdout)
    assert len(lines) == len(objects) == len(getattr(read(run), rows))
    for line, row in zip(lines, objects):
        assert list(line) == list(row)
        for column, value in row.items():
            if isinstance(value, dict):
                value = [f"{name}={one}" for name, one in value.items()]
            several = value if isinstance(value, list) else [value]
            shown = " ".join("" if one is None else str(one) for one in several)
            assert line[column] == shown, column


def test_numbers_are_those_of_the_results():
    rows = json.loads(
        CliRunner().invoke(app, ["report", str(TRANSFER), "--json"]).stdout
    )
    for row, cell in zip(rows, read(TRANSFER).cells):
        assert (row["value"], row["low"], row["high"]) == (
            cell.value,
            cell.low,
            cell.high,
        )
        assert (
            tuple(row["seeds"]) == cell.seeds and row["unparsable"] == cell.unparsable
        )


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["report", str(TRANSFER), "--csv", "--json"], "a table has one form"),
        (
            ["report", "tests/recorded/choice", "--csv"],
            "holds a choice, which has no table",
        ),
    ],
)
def test_what_has_no_such_form_is_a_sentence(words, sentence):
    done = CliRunner().invoke(app, words)
    assert done.exit_code and sentence in str(done.exception)
