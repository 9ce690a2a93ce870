"""A process is killed before each thing that it does to a file; the same call again always ends
with the results of a run that nobody disturbed.
"""

import json
import os
import signal
import sys
import traceback

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.evaluate import evaluate
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.studies.streams import continual

pytestmark = pytest.mark.slow

TOUCHING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FIT = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition", "train": 8, "test": 4},
    "methods": {"vp": {}},
    "steps": 3,
    "batch_size": 2,
    "checkpoint_every": 2,
    "evaluate": {"examples": 1},
}
STREAM = {
    "task": {"name": "scenes-things", "train": 96, "test": 48},
    "stream": {"tasks": 2},
    "backbone": {"model": "tiny-vit"},
    "training": {"epochs": 1, "augment": False},
    "learners": {"l2p": {}, "ridge": {}},
}


def learn(folder):
    return study(parse(StudyConfig, FIT, "test"), folder)


def stream(folder):
    return continual(parse(ContinualConfig, STREAM, "test"), folder)


def judge(folder):
    return evaluate(
        [str(folder.parent.parent / "grey")],
        ["tiny-blip2"],
        ["scenes-recognition"],
        folder,
        test=4,
    )


def in_a_child(work, folder, kill_at=None):
    """Run to the end in a process of its own; (its exit status, how often it touched a file)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            touched = _watch(folder, kill_at)
            for _ in work(folder):
                pass
            os.write(writer, str(len(touched)).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, int(said or 0)


def _watch(folder, kill_at):
    """Count what is done to files below a folder; killed before the thing of that number."""
    touched = []

    def notice(event, arguments):
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        )
        if not writes and event not in TOUCHING:
            return
        if not isinstance(arguments[0], str) or not arguments[0].startswith(
            str(folder)
        ):
            return
        if len(touched) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        touched.append(event)

    sys.addaudithook(notice)
    return touched


def what_came_out(folder):
    """What must be as it would have been: results but for time, prompts, states, logs."""
    said = json.loads((folder / "results.json").read_text())
    for row in [said, *said.get("outcomes", []), *said.get("summary", [])]:
        for spent in ("seconds", "peak_memory_mb"):
            row.pop(spent, None)
    arrays = {
        f"{file.relative_to(folder)}:{name}": array.tolist()
        for file in sorted(folder.rglob("*.safetensors"))
        for name, array in load_file(file).items()
    }
    steps = {}
    for log in sorted(folder.rglob("metrics.jsonl")):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        steps[str(log.relative_to(folder))] = [
            (row.get("run"), row["step"]) for row in rows
        ]
    return said, arrays, steps


@pytest.mark.parametrize("work", [learn, stream, judge])
def test_wherever_it_is_killed_it_goes_on_to_the_same_end(work, tmp_path):
    torch.set_num_threads(1)
    _grey_prompt(tmp_path / "grey")
    whole = tmp_path / "whole" / "run"
    status, events = in_a_child(work, whole)
    assert status == 0 and events > 10
    expected = what_came_out(whole)
    for number in range(events):
        folder = tmp_path / f"killed{number}" / "run"
        status, _ = in_a_child(work, folder, kill_at=number)
        assert status == signal.SIGKILL, number
        status, _ = in_a_child(work, folder)
        assert status == 0, f"killed before event {number}, it does not go on"
        assert what_came_out(folder) == expected, f"killed before event {number}"


def _grey_prompt(folder):
    import matboard

    canvas = matboard.Canvas()
    border = np.where(canvas.mask(), 0.5, 0.0).astype("float32")
    matboard.VisualPrompt(canvas, border[None].repeat(3, axis=0)).save_pretrained(
        folder
    )
