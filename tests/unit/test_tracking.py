"""Studies in TensorBoard and Weights & Biases, read back with their own readers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from matboard.errors import ConfigError, MissingExtra
from matboard.results import PlannedFit, StudyPlan
from matboard.results.transfer import (
    Cell,
    Condition,
    Model,
    TaskFacts,
    TransferResults,
)
from matboard.runs import LOG, Run
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.studies.search.ranges import SearchConfig
from matboard.studies.tracking import STATE, tracked

FIT = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition/noise", "train": 8, "test": 4},
    "methods": {"vp": {}},
    "steps": 3,
    "batch_size": 2,
    "validation": None,
    "evaluate": {"examples": 0},
}
CELL = {"model": "m", "task": "t", "metric": "accuracy", "n": 9, "value": 0.5}


def row(step: int, **more) -> dict:
    return {"step": step, "loss": 1 / step, "losses": {"task_loss": 2 / step}, **more}


def begun(out: Path) -> Run:
    """A study whose only fit learns when the test says so."""
    run = Run.open(out, {"asked": 1})
    fit = Run.open(out / "fits/vp-s0-abc", {"asked": 2})
    planned = PlannedFit(
        name="vp-s0", variant="vp", method="vp", seed=0, folder="fits/vp-s0-abc"
    )
    plan = StudyPlan(study="transfer", fits=(planned,)).as_json()
    run.path("plan.json").write_text(json.dumps(plan))
    return fit


def finished(run: Run) -> None:
    said = TransferResults(
        models=(Model(name="m"),),
        tasks=(TaskFacts(name="t", metric="accuracy", n=9),),
        conditions=(
            Condition(name="full", label="full", role="baseline", baseline="full"),
        ),
        cells=(Cell(**CELL, condition="full"),),
        made_from="these",
    )
    run.write_results(said.as_json())


def follow(out: Path, *names: str, do=lambda: None) -> None:
    """A session of a study: what it does comes before its only word."""

    def events():
        do()
        yield None

    for _ in tracked(events(), out, names):
        pass


def scalars(out: Path, name: str) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(out / "tensorboard" / name))
    read.Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_a_study_that_is_taken_up_goes_on_in_the_same_curves(tmp_path):
    """Killed after step 3, taken up at a checkpoint of step 2, whose next lines come again."""
    fit = begun(tmp_path)
    for step in (1, 2, 3):
        fit.log(row(step))
    follow(tmp_path, "tensorboard")

    def taken_up():
        fit.path(LOG).write_text("".join(json.dumps(row(s)) + "\n" for s in (1, 2)))
        for step in (3, 4):
            fit.log(row(step, validation={"tiny": 0.25}))

    follow(tmp_path, "tensorboard", do=taken_up)
    shown = scalars(tmp_path, "vp-s0")
    assert shown["loss"] == [(step, 1 / step) for step in (1, 2, 3, 4)]
    assert shown["losses/task_loss"] == [(step, 2 / step) for step in (1, 2, 3, 4)]
    assert shown["validation/tiny"] == [(4, 0.25)]


def test_the_finished_table_is_shown_once(tmp_path):
    begun(tmp_path)
    finished(Run(tmp_path))
    for _ in range(2):
        follow(tmp_path, "tensorboard")
    assert scalars(tmp_path, "results") == {"accuracy/t/m/full": [(0, 0.5)]}


@pytest.mark.parametrize("damaged", ["{", "5"])
def test_a_damaged_record_of_what_was_shown_starts_anew(tmp_path, damaged):
    begun(tmp_path).log(row(1))
    (tmp_path / STATE).write_text(damaged)
    follow(tmp_path, "tensorboard")
    assert json.loads((tmp_path / STATE).read_text())["upto"] == {
        "tensorboard": {"vp-s0": 1}
    }


def test_a_study_is_the_same_with_a_tracker_and_without(tmp_path):
    out = tmp_path / "run"
    config = parse(StudyConfig, {**FIT, "tracking": ["tensorboard"]}, "")
    for _ in study(config, out):
        pass
    logged = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    shown = scalars(out, "vp-s0")
    assert shown["loss"] == [(line["step"], line["loss"]) for line in logged]
    assert len(logged) == 3
    cells = json.loads((out / "results.json").read_text())["cells"]
    table = scalars(out, "results")
    assert len(table) == len(cells) == 4
    for cell in cells:
        tag = f"accuracy/{cell['task']}/{cell['model']}/{cell['condition']}"
        assert table[tag] == [(0, cell["value"])]
    again = list(study(parse(StudyConfig, FIT, ""), out))
    assert [event.detail for event in again] == ["found", "found"]


def test_a_library_that_is_missing_is_named_before_anything_starts(
    tmp_path, monkeypatch
):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "wandb" else there(name, *more),
    )
    config = parse(StudyConfig, {**FIT, "tracking": ["wandb"]}, "")
    with pytest.raises(MissingExtra, match=r"pip install 'matboard\[wandb\]'"):
        next(study(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_only_known_trackers_and_only_for_studies():
    with pytest.raises(ConfigError, match=r"tracking\.0: .*tensorboard.*'mlflow'"):
        parse(StudyConfig, {**FIT, "tracking": ["mlflow"]}, "")
    asked = {**FIT, "search": {"lr": {"low": 1, "high": 2}}, "tracking": ["wandb"]}
    with pytest.raises(ConfigError, match="leave out tracking"):
        parse(SearchConfig, asked, "")
    assert "tracking" in ContinualConfig.model_fields


# -- Weights & Biases ------------------------------------------------------------------------------


def records(data: bytes) -> Iterator[bytes]:
    """Of an offline run's file: LevelDB's log format behind a header of 7 bytes."""
    at, block = 7, 2**15
    begun = b""
    while at + 7 < len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        length = int.from_bytes(data[at + 4 : at + 6], "little")
        kind = data[at + 6]  # whole, first, middle, last
        part = data[at + 7 : at + 7 + length]
        begun = part if kind in (1, 2) else begun + part
        if kind in (1, 4):
            yield begun
        at += 7 + length


def history(out: Path) -> dict[str, list[dict]]:
    """Run's id → what offline runs of it logged, in the order of their sessions."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, list[dict]] = {}
    for file in sorted((out / "wandb").glob("offline-run-*/run-*.wandb")):
        id = file.stem.removeprefix("run-")
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                line = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json)
                    for item in record.history.item
                }
                found.setdefault(id, []).append(line)
    return found


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    return pytest.importorskip("wandb", reason="pip install 'matboard[wandb]'")


def test_runs_of_weights_and_biases_go_on_under_their_own_ids(tmp_path, wandb):
    """In one process, where wandb must begin anew; in another it does."""
    fit = begun(tmp_path)
    fit.log(row(1))
    fit.log(row(2))
    follow(tmp_path, "wandb")

    def ends():
        fit.log(row(3, validation={"tiny": 0.25}))
        finished(Run(tmp_path))

    follow(tmp_path, "wandb", do=ends)
    ids = json.loads((tmp_path / STATE).read_text())["ids"]
    logged = history(tmp_path)
    assert set(logged) == {ids["vp-s0"], ids["results"]}
    losses = [(line["_step"], line["loss"]) for line in logged[ids["vp-s0"]]]
    assert losses == [(step, 1 / step) for step in (1, 2, 3)]
    assert logged[ids["vp-s0"]][-1]["validation/tiny"] == 0.25
    (table,) = logged[ids["results"]]
    assert table["table/nrows"] == 1


def test_who_is_not_logged_in_is_told_before_anything_starts(tmp_path, wandb):
    """In a process of its own: wandb reads its environment once."""
    stranger = {
        name: value for name, value in os.environ.items() if "WANDB" not in name
    }
    code = "from pathlib import Path; from matboard.studies.trackers import WandB; WandB(Path())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**stranger, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "begins no run: nobody is logged in. Run: wandb login, or set" in done.stderr
