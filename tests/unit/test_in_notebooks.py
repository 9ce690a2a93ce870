"""What a notebook shows: short reprs, pictures, and tables that say what results say."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from recorded_runs import STREAM, stream_results, transfer_results

import matboard
from matboard import notebooks
from matboard.results import SelectionResults, read
from matboard.results.in_notebooks import transfer_html
from matboard.results.transfer import Model, TransferResults


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{html.replace('<br>', '<br/>')}</div>")


def rows(html: str) -> list[list[str]]:
    return [
        ["".join(cell.itertext()) for cell in row] for row in parsed(html).iter("tr")
    ]


def test_reprs_fit_a_line() -> None:
    task = matboard.load_task("scenes-recognition/noise", train=64, test=32)
    stream = matboard.class_incremental(task, tasks=4)
    prompt = matboard.PixelPrompt(matboard.Canvas())
    assert repr(task) == (
        "Task(scenes-recognition/noise: 64 training and 32 test samples, accuracy)"
    )
    assert repr(stream) == (
        "TaskStream(scenes-recognition/noise: class-incremental, 4 tasks, 8 classes)"
    )
    assert re.fullmatch(
        r"StreamTask\(0: '\w+, \w+', 16 training and 8 test samples\)",
        repr(stream.tasks[0]),
    )
    assert "load" not in repr(task.train[0]) and "circle" in repr(task.train[0])
    assert "clamped" in repr(prompt)
    assert "48 of" not in str(transfer_results()) and len(str(transfer_results())) < 80
    assert len(repr(stream_results())) < 80
    matrix = matboard.AccuracyMatrix(np.array([[0.5, np.nan], [0.25, 0.75]]))
    assert repr(matrix) == "AccuracyMatrix(2 tasks, average accuracy 0.500)"


def test_models_say_their_names() -> None:
    assert repr(matboard.load_model("tiny-minigpt4")) == "HuggingFaceVLM(tiny-minigpt4)"
    assert (
        repr(matboard.load_backbone("tiny-vit"))
        == "TransformerBackbone(tiny-vit, 60 px)"
    )


def test_a_prompt_is_shown_as_its_preview() -> None:
    prompt = matboard.PixelPrompt(matboard.Canvas(32, 4), level=0.25)
    shown = Image.open(io.BytesIO(prompt._repr_png_()))
    assert shown.size == (32, 32)
    assert np.array_equal(np.asarray(shown), np.asarray(prompt.to_artifact().preview()))


def test_a_transfer_table_says_what_its_results_say() -> None:
    results = transfer_results()
    html = transfer_html(results)
    tables = parsed(html).findall(".//table")
    assert len(tables) == len(results.tasks) * len(results.scorers)
    first = rows(ElementTree.tostring(tables[0], encoding="unicode"))
    assert first[0][1:] == [
        label if len(label) <= 40 else f"{label[:39]}…"
        for label in (condition.label for condition in results.conditions)
    ]
    cells = results.by_place("ranking")
    for row, model in zip(first[1:], results.models, strict=True):
        assert row[0].startswith(model.name)
        for text, condition in zip(row[1:], results.conditions, strict=True):
            cell = cells.get((model.name, results.tasks[0].name, condition.name))
            said = "–" if cell is None or cell.value is None else f"{cell.value:.3f}"
            assert text.startswith(said)
            marked = "▲" in text or "▼" in text
            assert condition.role != "baseline" or not marked


def test_marks_are_those_against_each_models_best_baseline() -> None:
    from study_results import learned, table

    results = table([learned("vp"), learned("tvp")])
    cell = next(one for one in results.cells if one.condition == "tvp")
    best = max(cell.versus, key=lambda name: _value(results, cell.model, name))
    decision = cell.versus[best].decision
    mark = {"better": " ▲", "worse": " ▼", "undecided": ""}[decision]
    assert mark
    assert f"{cell.value:.3f}{mark}<br>" in transfer_html(results)


def _value(results: TransferResults, model: str, condition: str) -> float:
    found = results.by_place("ranking")[model, "t", condition].value
    assert found is not None
    return found


def test_names_are_text_and_not_tags() -> None:
    results = transfer_results()
    renamed = Model(name="<script>alert(1)</script>", encoder="")
    cells = tuple(
        cell.model_copy(update={"model": renamed.name})
        for cell in results.cells
        if cell.model == results.models[0].name
    )
    told = results.model_copy(update={"models": (renamed,), "cells": cells})
    assert "<script>" not in transfer_html(told)
    assert "&lt;script&gt;" in transfer_html(told)


def test_nothing_measured_is_said() -> None:
    assert transfer_html(TransferResults()) == "<p>Nothing was measured.</p>"


def test_a_streams_table_names_every_learner_and_its_accuracy() -> None:
    results = stream_results()
    shown = {row[0]: row[1] for row in rows(results._repr_html_())[1:]}
    for summary in results.summary:
        (name,) = [name for name in shown if name.startswith(summary.learner)]
        assert shown[name].startswith(f"{summary.accuracy.value:.3f}")


def test_matrices_are_shaded_and_what_is_not_known_is_empty() -> None:
    matrix = matboard.AccuracyMatrix(
        np.array([[0.5, np.nan], [0.25, 1.0]]), ["a < b", "c"]
    )
    html = matrix._repr_html_()
    assert rows(html) == [
        ["trained up to", "1", "2"],
        ["a < b", "0.50", ""],
        ["c", "0.25", "1.00"],
    ]
    shares = re.findall(r"rgba\(\d+,\d+,\d+,([\d.]+)\)", html)
    assert shares == ["0.25", "0.12", "0.50"]


def test_a_selection_shows_classes_by_prompts() -> None:
    files = [one.selection for one in stream_results().outcomes if one.selection]
    chosen = read(STREAM / files[0])
    assert isinstance(chosen, SelectionResults)
    shown = rows(chosen._repr_html_())
    assert [row[0] for row in shown[1:]] == list(chosen.classes)
    assert shown[1][1] == f"{chosen.frequency[0][0]:.2f}"
    assert len(str(chosen)) < 80


@pytest.mark.parametrize("kernel", [True, False])
def test_bars_are_for_notebooks_and_terminals(monkeypatch, kernel: bool) -> None:
    shell = SimpleNamespace(kernel=1) if kernel else SimpleNamespace()
    python = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert notebooks.shows_bars() is kernel
