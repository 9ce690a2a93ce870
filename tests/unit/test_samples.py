"""Predictions that people can read, against scores that were put down by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import RunError
from matboard.results import SearchResults
from matboard.results.transfer import (
    Cell,
    Condition,
    Model,
    TaskFacts,
    TransferResults,
)
from matboard.runs import Run
from matboard.studies.config import TaskConfig
from matboard.studies.judging import FolderStore
from matboard.studies.loading import load
from matboard.studies.samples import write_predictions
from matboard.transfer.table import Scored
from tests.unit.recorded_runs import CHOICE, STREAM

ASKED = {"name": "scenes-counting", "test": 4}
TASK = load(TaskConfig(**ASKED))
LABELS = np.array([sample.label for sample in TASK.test])
MODEL = "you/model"


def ranked() -> Scored:
    """The first sample is right, the second wrong, in the third the right one ties with another."""
    scores = np.full((4, len(TASK.test[0].candidates)), -5.0)
    scores[0, LABELS[0]] = -1.5
    scores[1, (LABELS[1] + 1) % scores.shape[1]] = -0.5
    scores[2, [LABELS[2], (LABELS[2] + 1) % scores.shape[1]]] = -1.0
    scores[3, LABELS[3]] = -2.0
    return Scored(scores, LABELS)


def generated() -> Scored:
    verdicts = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.7, 0]])
    texts = ("two", "three birds", "I see nothing, really", "four")
    return Scored(verdicts, np.zeros(4, dtype=int), texts)


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run"
    asked = {"prompts": ["p"], "evaluate": {"models": [MODEL], "tasks": [ASKED]}}
    opened = Run.open(folder, asked, {"store": "../store"})
    store = FolderStore(tmp_path / "store" / "scores")
    store.put("aaa", ranked())
    store.put("bbb", ranked())
    store.put("ccc", generated())
    opened.write_results(results().as_json())
    return folder


def results(fingerprint: str = TASK.test_fingerprint) -> TransferResults:
    place = {"model": MODEL, "task": TASK.name, "metric": "accuracy", "n": 4}
    return TransferResults(
        models=(Model(name=MODEL),),
        tasks=(
            TaskFacts(name=TASK.name, metric="accuracy", n=4, fingerprint=fingerprint),
        ),
        conditions=(
            Condition(name="full", label="full", role="baseline", baseline="full"),
            Condition(name="tvp", label="TVP", role="method", seeds=(3, 7)),
        ),
        cells=(
            Cell(**place, condition="tvp", kept=("aaa", "bbb")),
            Cell(**place, condition="full", scorer="generation", kept=("ccc",)),
        ),
    )


def test_every_sample_and_seed_has_a_line_that_says_what_was_said(run):
    done = CliRunner().invoke(app, ["predictions", str(run)])
    assert done.exit_code == 0, done.output
    folder = run / "predictions" / TASK.name / "you-model"
    lines = (folder / "tvp-ranking.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["seed"], row["id"]) for row in rows] == [
        (seed, sample.id) for seed in (3, 7) for sample in TASK.test
    ]
    assert [row["right"] for row in rows[:4]] == [1, 0, 0.5, 1]
    for row, sample, scores in zip(rows, TASK.test, ranked().scores):
        assert row["question"] == sample.question and row["answer"] == sample.answer
        assert row["scores"] == dict(zip(sample.candidates, scores))
        assert row["said"] == max(row["scores"], key=row["scores"].get)


def test_generated_texts_stand_beside_what_became_of_them(run):
    out = run / "elsewhere"
    list(write_predictions(run, out, as_csv=True))
    with (out / TASK.name / "you-model" / "full-generation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["said"] for row in rows] == list(generated().texts)
    assert [row["right"] for row in rows] == ["1", "0", "0", "0.3"]
    assert [row["unparsable"] for row in rows] == ["0", "0", "1", "0"]
    assert {row["seed"] for row in rows} == {""}


def test_other_pictures_under_the_same_name_are_refused(run):
    Run(run).write_results(results("another").as_json())
    with pytest.raises(RunError, match=r"no longer what .* was judged on"):
        list(write_predictions(run))


def test_scores_that_are_gone_are_a_sentence(run):
    (run.parent / "store" / "scores" / "bbb.npz").unlink()
    with pytest.raises(RunError, match=r"are gone: .* holds no bbb\.npz"):
        list(write_predictions(run))


def test_results_of_an_earlier_matboard_say_how_to_get_them(run):
    old = results().as_json()
    for cell in old["cells"]:
        del cell["kept"]
    Run(run).write_results(old)
    with pytest.raises(RunError, match=r"do not say where their scores are kept"):
        list(write_predictions(run))


def searched(folder: Path) -> Path:
    """A finished search of one trial."""
    trial = {"number": 0, "state": "complete", "values": {"lr": 1.0}, "score": 0.5}
    said = SearchResults(
        variant="tvp",
        scored="best",
        validation={},
        ranges={},
        seed=0,
        pruner="none",
        trials=(trial,),
        best=0,
    )
    Run(folder).write_results(said.as_json())
    return folder


def test_runs_without_predictions_say_what_to_do_instead(tmp_path):
    for folder, sentence in (
        (CHOICE, "holds a choice, .* matboard evaluate PROMPT… --models MODEL"),
        (STREAM, "holds a study over a stream, .* matboard compare"),
        (searched(tmp_path), "holds a search, .* matboard fit .*/best.yaml"),
    ):
        with pytest.raises(RunError, match=sentence):
            list(write_predictions(folder))
