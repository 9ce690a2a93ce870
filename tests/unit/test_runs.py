"""Run folders: created, refused, resumed, and safe on a full disk."""

import json

import numpy as np
import pytest

from matboard.errors import RunError
from matboard.runs import Checkpoint, Run, replace_atomically


def test_a_run_is_created_and_taken_up_again(tmp_path):
    run = Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    assert run.config() == {"steps": 3, "prompt": {"width": 30}}
    assert (
        json.loads(run.path("environment.json").read_text())["packages"]["numpy"] == np.__version__
    )
    assert not run.finished
    again = Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    again.write_results({"kind": "fit"})
    assert Run(tmp_path / "run").finished


def test_another_configuration_is_refused_and_named(tmp_path):
    Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    with pytest.raises(
        RunError, match=r"holds a run with another configuration \(prompt.width differ\)"
    ):
        Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 20}})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        Run.open(tmp_path, {})
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_checkpoint_round_trip_drops_later_log_lines(tmp_path):
    run = Run.open(tmp_path / "run", {})
    for step in range(1, 6):
        run.log({"step": step, "loss": 1 / step})
    run.save_checkpoint(
        Checkpoint(3, {"delta": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"skipped": 1})
    )
    back = run.load_checkpoint()
    assert back.step == 3 and back.values == {"skipped": 1}
    assert np.array_equal(back.arrays["delta"], np.arange(6).reshape(2, 3))
    assert [row["step"] for row in run.metrics()] == [1, 2, 3]


def test_a_log_line_cut_by_a_kill_is_left_out(tmp_path):
    run = Run.open(tmp_path / "run", {})
    run.log({"step": 1})
    with run.path("metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.metrics() == [{"step": 1}]


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    run = Run.open(tmp_path / "run", {})
    run.path("checkpoint.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(RunError, match="Delete it to start this run again"):
        run.load_checkpoint()


def test_a_full_disk_leaves_the_previous_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("before")

    def write(temporary):
        temporary.write_text("half of")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        RunError,
        match=(
            r"could not be written \(No space left on device\). What stood there before is"
            r" unchanged"
        ),
    ):
        replace_atomically(target, write)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
