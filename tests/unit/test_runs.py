"""Run folders: created, refused, resumed, and safe on a full disk."""

import json
import shutil

import numpy as np
import pytest

from matboard.errors import RunError
from matboard.runs import Checkpoint, Run, replace_atomically


def test_a_run_is_created_and_taken_up_again(tmp_path):
    run = Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    assert run.config() == {"steps": 3, "prompt": {"width": 30}}
    assert (
        json.loads(run.path("environment.json").read_text())["packages"]["numpy"]
        == np.__version__
    )
    assert not run.finished
    again = Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    again.write_results({"kind": "fit"})
    assert Run(tmp_path / "run").finished


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/x/matboard/__main__.py", "fit"], ["python", "-m", "matboard", "fit"]),
        (["/bin/matboard", "fit"], ["matboard", "fit"]),
        (["/lib/ipykernel_launcher.py", "-f", "kernel.json"], []),
        (["-c"], []),
        ([""], []),
    ],
)
def test_a_command_is_recorded_where_there_was_one(
    tmp_path, monkeypatch, argv, command
):
    monkeypatch.setattr("sys.argv", argv)
    assert Run.open(tmp_path / "run", {}).environment()["command"] == command


def test_another_configuration_is_refused_and_named(tmp_path):
    Run.open(tmp_path / "run", {"steps": 3, "prompt": {"width": 30}})
    with pytest.raises(
        RunError,
        match=r"holds a run with another configuration \(prompt.width differ\)",
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
        Checkpoint(
            3, {"delta": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"skipped": 1}
        )
    )
    back = run.resume()
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
        run.resume()


def checkpoint(step=1, value=1.0):
    return Checkpoint(step, {"delta": np.full(4, value, np.float32)}, {"skipped": 0})


def test_another_runs_checkpoint_is_refused(tmp_path):
    one = Run.open(tmp_path / "one", {"seed": 0})
    two = Run.open(tmp_path / "two", {"seed": 1})
    one.save_checkpoint(checkpoint())
    shutil.copy(one.path("checkpoint.safetensors"), two.path("checkpoint.safetensors"))
    with pytest.raises(RunError, match="belongs to a run with another configuration"):
        two.resume()


def test_any_flipped_bit_of_a_checkpoint_is_noticed(tmp_path):
    run = Run.open(tmp_path / "run", {})
    run.save_checkpoint(checkpoint())
    path = run.path("checkpoint.safetensors")
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(RunError, match="Delete it to start this run again"):
            run.resume()
    path.write_bytes(whole)
    assert run.resume().arrays["delta"].tolist() == [1.0] * 4


def test_without_a_checkpoint_a_run_begins_its_log_again(tmp_path):
    run = Run.open(tmp_path / "run", {})
    run.log({"step": 1})
    with run.path("metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.resume() is None
    run.log({"step": 1})
    assert run.metrics() == [{"step": 1}]


def test_a_half_line_does_not_swallow_the_next(tmp_path):
    run = Run.open(tmp_path / "run", {})
    run.log({"step": 1})
    run.save_checkpoint(checkpoint(step=1))
    with run.path("metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    run.resume()
    run.log({"step": 2})
    assert run.metrics() == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("left", ["environment.json", ".config.yaml.123.part"])
def test_a_folder_that_a_kill_left_half_made_is_begun_again(tmp_path, left):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / left).write_text("{")
    assert Run.open(folder, {"a": 1}).config() == {"a": 1}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="is a file, not a folder"):
        Run.open(tmp_path / "run", {})


@pytest.mark.parametrize(
    ("name", "content", "ask"),
    [
        ("config.yaml", "a: [", Run.config),
        ("config.yaml", "- a", Run.config),
        ("results.json", "{", Run.results),
        ("results.json", "[1]", Run.results),
        ("environment.json", "\xff", Run.environment),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, name, content, ask):
    run = Run.open(tmp_path / "run", {})
    run.path(name).write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=f"{name} (cannot be read|holds list)"):
        ask(run)


def test_a_session_elsewhere_is_written_down(tmp_path):
    Run.open(tmp_path / "run", {}, {"threads": 1})
    Run.open(tmp_path / "run", {}, {"threads": 1})
    again = Run.open(tmp_path / "run", {}, {"threads": 2})
    Run.open(tmp_path / "run", {}, {"threads": 2})
    assert again.environment()["threads"] == 1
    assert again.environment()["sessions"] == [{"threads": 2}]


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
