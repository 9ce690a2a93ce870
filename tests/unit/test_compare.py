"""Runs side by side, against scores that were put down by hand."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import RunError
from matboard.metrics import difference_over_seeds, unpaired_difference, wilson
from matboard.report import comparison_rows, comparison_text
from matboard.results import TransferResults
from matboard.results.comparison import RunComparison
from matboard.results.transfer import Cell, Condition, Model, TaskFacts
from matboard.runs import Run
from matboard.studies.compare.comparing import compare
from matboard.studies.config import TaskConfig
from matboard.studies.judging import FolderStore
from matboard.studies.loading import load
from matboard.tasks.task import Task
from matboard.transfer.table import Scored

NAME = "scenes-counting"
FULL = Condition(name="full", label="full", role="baseline", baseline="full")
MODEL = "you/model-with-a-long-name-9B"


@cache
def task_of(**asked) -> Task:
    return load(TaskConfig(**asked))


class Made:
    """A run whose scores are drawn from a seed.

    Args:
        right: condition → share of samples that each of its seeds gets right.
        asked: which samples, as a configuration says it.
    """

    def __init__(self, folder: Path, right, seed=0, model=MODEL, title=None, **asked):
        self.folder = folder
        self.asked = {"name": NAME, "test": 24, **asked}
        self.task = task_of(**self.asked)
        self.labels = np.array([sample.label for sample in self.task.test])
        self.scores: dict[str, list[np.ndarray]] = {}
        evaluating = {"models": [model], "tasks": [self.asked]}
        run = Run.open(folder, {"prompts": ["p"], "evaluate": evaluating})
        store = FolderStore(folder / "scores")
        rng = np.random.default_rng(seed)
        cells, conditions = [], [FULL]
        for name, shares in right.items():
            drawn = [self._drawn(rng, share) for share in shares]
            self.scores[name] = drawn
            kept = tuple(f"{name}{place}" for place in range(len(drawn)))
            for key, scores in zip(kept, drawn):
                store.put(key, Scored(scores, self.labels))
            cells.append(self._cell(name, drawn, kept, model, title or NAME))
            if name != "full":
                seeds = tuple(range(len(drawn)))
                conditions.append(
                    Condition(name=name, label=name, role="method", seeds=seeds)
                )
        task = TaskFacts(
            name=title or NAME,
            metric="accuracy",
            n=len(self.labels),
            fingerprint=self.task.test_fingerprint,
        )
        said = TransferResults(
            models=(Model(name=model),),
            tasks=(task,),
            conditions=tuple(conditions),
            cells=tuple(cells),
        )
        run.write_results(said.as_json())

    def _drawn(self, rng, share) -> np.ndarray:
        scores = np.zeros((len(self.labels), len(self.task.test[0].candidates)))
        right = rng.random(len(self.labels)) < share
        scores[np.arange(len(self.labels)), self.labels] = np.where(right, 1.0, -1.0)
        return scores

    def _cell(self, name, drawn, kept, model, title) -> Cell:
        values = tuple(float((s.argmax(1) == self.labels).mean()) for s in drawn)
        n = len(self.labels)
        found = wilson(sum(values) / len(values) * n, n)
        return Cell(
            model=model,
            task=title,
            condition=name,
            metric="accuracy",
            n=n,
            value=found.value,
            low=found.low,
            high=found.high,
            seeds=values,
            kept=kept,
        )

    def by_id(self, name) -> dict[str, np.ndarray]:
        return dict(zip((s.id for s in self.task.test), self.scores[name][0]))


@pytest.fixture
def one(tmp_path) -> Made:
    return Made(tmp_path / "one", {"full": [0.3], "tvp": [0.5], "evp": [0.6]})


def only(found: RunComparison):
    (row,) = found.rows
    (other,) = row.others
    return row, other


def test_the_same_samples_are_paired(one, tmp_path):
    """Whatever the task is called."""
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1, title="called otherwise")
    row, other = only(compare([one.folder, two.folder]))
    assert (row.reference.run, row.reference.condition) == ("one", "tvp")
    assert (other.side.run, other.samples, other.why) == ("two", 24, "")
    found = difference_over_seeds(
        "accuracy", one.scores["tvp"], two.scores["tvp"], one.labels
    )
    told = other.difference
    assert (told.value, told.low, told.high) == (found.value, found.low, found.high)
    assert row.untouched == pytest.approx(
        (one.scores["full"][0].argmax(1) == one.labels).mean()
    )


def test_samples_that_both_have_are_paired(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1, test=15)
    _, other = only(compare([one.folder, two.folder]))
    mine, theirs = one.by_id("tvp"), two.by_id("tvp")
    ids = [sample.id for sample in two.task.test]
    assert set(ids) < set(mine)
    labels = np.array([sample.label for sample in two.task.test])
    found = difference_over_seeds(
        "accuracy",
        [np.stack([mine[id] for id in ids])],
        [np.stack([theirs[id] for id in ids])],
        labels,
    )
    assert other.samples == 15
    assert other.why == "15 of 24 and 15 samples are the same"
    assert (other.difference.value, other.difference.low) == (
        pytest.approx(found.value),
        pytest.approx(found.low),
    )


def test_other_samples_are_compared_unpaired_and_it_says_so(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1, test=30, skip=24)
    _, other = only(compare([one.folder, two.folder]))
    assert other.samples is None
    assert other.why == "0 of 24 and 30 samples are the same"
    right = [(m.scores["tvp"][0].argmax(1) == m.labels).sum() for m in (one, two)]
    found = unpaired_difference(
        wilson(float(right[0]), 24), wilson(float(right[1]), 30)
    )
    assert other.difference.low == pytest.approx(found.low)
    assert "two: unpaired, n=30; 0 of 24 and 30 samples are" in text(
        compare([one.folder, two.folder])
    )


def test_scores_that_are_gone_leave_an_unpaired_difference(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1)
    (two.folder / "scores" / "tvp0.npz").unlink()
    _, other = only(compare([one.folder, two.folder]))
    assert (other.samples, other.why) == (None, "the scores of two are gone")
    assert other.difference.low < other.difference.value < other.difference.high


def test_a_run_copied_without_saying_how_it_was_made_is_compared_too(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1)
    (two.folder / "environment.json").unlink(missing_ok=True)
    _, other = only(compare([one.folder, two.folder]))
    assert other.samples is not None


def test_seeds_are_paired_by_number_and_a_single_one_meets_all(one, tmp_path):
    shares = [0.5, 0.6, 0.9]
    three = Made(tmp_path / "three", {"tvp": shares}, seed=2)
    two = Made(tmp_path / "two", {"tvp": [0.2, 0.3]}, seed=3)
    _, other = only(compare([three.folder, two.folder]))
    assert other.seeds == 2
    found = difference_over_seeds(
        "accuracy", three.scores["tvp"][:2], two.scores["tvp"], three.labels
    )
    assert other.difference.value == pytest.approx(found.value)
    _, other = only(compare([one.folder, three.folder]))
    assert other.seeds == 3


def test_a_name_of_its_own_is_compared_with_all_of_the_first(one, tmp_path):
    two = Made(tmp_path / "two", {"ours": [0.8], "evp": [0.8]}, seed=1)
    found = compare([one.folder, two.folder])
    pairs = [
        (row.reference.condition, [other.side.condition for other in row.others])
        for row in found.rows
    ]
    assert pairs == [("tvp", ["ours"]), ("evp", ["ours", "evp"])]
    assert "two: ours" in re_joined(text(found))


def test_one_run_compares_its_own_prompts_with_its_first(one):
    row, other = only(compare([one.folder]))
    assert (row.reference.condition, other.side.condition) == ("tvp", "evp")
    assert other.samples == 24
    assert "differences: minus tvp" in text(compare([one.folder]))


def test_what_readers_must_know_is_noted(one, tmp_path):
    two = Made(tmp_path / "two", {"full": [0.9], "tvp": [0.8]}, seed=1)
    (note,) = compare([one.folder, two.folder]).notes
    assert "one and two differ without any prompt too, on the same samples" in note
    assert f"{MODEL} on {NAME}" in note


def text(found: RunComparison) -> str:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(comparison_text(found))
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    return said


def re_joined(said: str) -> str:
    """Heads that were broken over lines, in one."""
    return said.replace("\n", " ")


def test_models_that_are_paired_otherwise_are_told_apart(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, seed=1)
    found = compare([one.folder, two.folder])
    (row,) = found.rows
    (other,) = row.others
    few = other.difference.model_copy(update={"low": None, "high": None})
    gone = {"samples": None, "why": "gone", "difference": few}
    unpaired = other.model_copy(update=gone)
    more = row.model_copy(update={"model": "b", "others": (unpaired,)})
    said = text(found.model_copy(update={"rows": (row, more)}))
    assert f"two: paired, n=24 ({MODEL})" in said
    assert "two: unpaired, n=24; gone (b)" in said
    assert "few: too few samples for an interval" in said


def test_three_runs_fit_80_columns_and_none_is_lost(one, tmp_path):
    folders = [one.folder]
    for number in range(3):
        name = f"a-rather-long-name-{number}"
        shares = {"tvp": [0.1 + 0.4 * number]}
        folders.append(Made(tmp_path / name, shares, seed=number).folder)
    found = compare(folders)
    said = text(found)
    assert said.count("difference ") >= 3 and said.count("▼") >= 1
    for other in found.rows[0].others:
        assert f"{other.difference.value:+.3f}".replace("-", "−") in said
        assert f"{other.side.run}: paired, n=24" in said


def test_csv_and_json_hold_every_number_as_it_is(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8], "evp": [0.2]}, seed=1)
    words = ["compare", str(one.folder), str(two.folder)]
    rows = comparison_rows(compare([one.folder, two.folder]))
    done = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(done.stdout) == rows and len(rows) == 2
    read = list(
        csv.DictReader(io.StringIO(CliRunner().invoke(app, [*words, "--csv"]).stdout))
    )
    assert [float(row["difference_value"]) for row in read] == [
        row["difference_value"] for row in rows
    ]
    for row in rows:
        difference = row["value"] - row["against_value"]
        assert row["difference_value"] == pytest.approx(difference)
        assert row["paired_samples"] == 24


def test_what_cannot_be_compared_is_a_sentence(one, tmp_path):
    two = Made(tmp_path / "two", {"tvp": [0.8]}, model="another")
    for folders, sentence in [
        ([one.folder, one.folder], "was given twice; name it once"),
        ([two.folder], "holds one condition, 'tvp', and there is nothing to compare"),
        ([one.folder, two.folder], f"one has {MODEL} on {NAME}; two has another on"),
        ([one.folder, tmp_path / "none"], "results appear when a run has finished"),
    ]:
        with pytest.raises(RunError, match=sentence):
            compare(folders)
