"""Many workers on one study, from its run folder alone: each unit is done once, whoever is killed,
to the bits of one process.
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import matboard
from matboard.errors import InputError
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.evaluate import evaluate
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.studies.streams import continual
from matboard.studies.work import work

FIT = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition/noise", "train": 8, "test": 4},
    "methods": {"vp": {}},
    "seeds": [0, 1],
    "steps": 12,
    "batch_size": 2,
    "checkpoint_every": 3,
    "evaluate": {"models": ["tiny-blip2"], "examples": 1},
}
STREAM = {
    "task": {"name": "scenes-things", "train": 96, "test": 48},
    "stream": {"tasks": 3},
    "backbone": {"model": "tiny-vit"},
    "training": {"epochs": 1, "augment": False},
    "learners": {"l2p": {}, "ridge": {}},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Worker:
    """Drives a study in a process of its own.

    Args:
        events: makes the study.
        stop: stage and how much of it is done when it falls asleep, for good.
        said: a file for what it was told of its progress.
    """

    def __init__(self, events, said: Path, stop=None):
        self.said = said
        self.pid = os.fork()
        if self.pid == 0:
            self._drive(events, stop)

    def _drive(self, events, stop):
        status = 1
        try:
            with self.said.open("w") as log:
                for event in events():
                    print(event.stage, event.done, event.detail, file=log, flush=True)
                    if (event.stage, event.done) == stop:
                        time.sleep(600)
            status = 0
        finally:
            os._exit(status)

    def wait_for(self, words):
        """Until it has said something."""
        deadline = time.monotonic() + 600
        while not self.said.exists() or words not in self.said.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        assert self.ended() == signal.SIGKILL

    def ended(self):
        return os.waitpid(self.pid, 0)[1]


def steps_of(fits):
    """Fit → lines of its log."""
    return {
        log.parent.name.rpartition("-")[0]: log.read_text().count("\n")
        for log in fits.glob("*/metrics.jsonl")
    }


def tensors(fits):
    return {
        file.parent.parent.name: load_file(file)["perturbation"]
        for file in fits.glob("*/prompt/prompt.safetensors")
    }


def cells(run):
    return json.loads((run / "results.json").read_text())["cells"]


def test_three_workers_one_of_them_killed_reach_the_bits_of_one(tmp_path):
    config = parse(StudyConfig, FIT, "")
    run, store, whole = tmp_path / "run", tmp_path / "store", tmp_path / "whole"
    first = Worker(
        lambda: study(config, run, store=store),
        tmp_path / "first",
        stop=("learn vp-s0", 5),
    )
    first.wait_for("learn vp-s0 5")
    others = [Worker(lambda: work(run), tmp_path / name) for name in ("a", "b")]
    # both take the other unit or wait, and nobody takes what the first one holds
    for other in others:
        other.wait_for("wait for other workers")
    assert steps_of(store / "fits") == {"vp-s0": 5, "vp-s1": 12}
    first.kill()
    assert [other.ended() for other in others] == [0, 0]
    said = [other.said.read_text() for other in others]
    assert sum("learn vp-s0 3 resumed" in one for one in said) == 1
    assert steps_of(store / "fits") == {"vp-s0": 12, "vp-s1": 12}
    assert not list(store.glob(".locks/*")), "every lease is given back"

    assert Worker(lambda: study(config, whole), tmp_path / "one").ended() == 0
    learned, expected = tensors(store / "fits"), tensors(whole / "fits")
    assert len(learned) == 2 and learned.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(learned[name], values), name
        assert np.abs(values).sum() > 0
    assert len(cells(run)) == 8 and cells(run) == cells(whole)


def test_a_worker_goes_on_with_a_stream(tmp_path):
    config = parse(ContinualConfig, STREAM, "")
    run, whole = tmp_path / "run", tmp_path / "whole"
    stop = ("l2p (seed 0)", 1)
    first = Worker(lambda: continual(config, run), tmp_path / "first", stop)
    first.wait_for("l2p (seed 0) 1")
    first.kill()
    assert Worker(lambda: work(run), tmp_path / "second").ended() == 0
    assert "l2p (seed 0) 1 resumed" in (tmp_path / "second").read_text()
    assert Worker(lambda: continual(config, whole), tmp_path / "one").ended() == 0
    matrices = [
        {file.parent.name: file.read_text() for file in at.glob("fits/*/matrix.csv")}
        for at in (run, whole)
    ]
    assert len(matrices[0]) == 2 and matrices[0] == matrices[1]


@pytest.fixture
def grey(tmp_path):
    canvas = matboard.Canvas()
    border = np.where(canvas.mask(), 0.5, 0.0).astype("float32")
    prompt = matboard.VisualPrompt(canvas, border[None].repeat(3, axis=0))
    prompt.save_pretrained(tmp_path / "grey")
    return str(tmp_path / "grey")


def test_a_judging_that_was_begun_is_finished(grey, tmp_path):
    def judged(out):
        tasks = ["scenes-recognition"]
        return evaluate([grey], ["tiny-blip2"], tasks, out, test=4, batch_size=2)

    list(judged(tmp_path / "whole"))
    begun = judged(tmp_path / "run")
    while next(begun).done == 0:
        pass
    begun.close()
    assert not (tmp_path / "run/results.json").exists()
    kept = {
        file: file.stat().st_mtime_ns for file in (tmp_path / "run/scores").iterdir()
    }
    assert 0 < len(kept) < 4
    list(work(tmp_path / "run"))
    for file, written in kept.items():
        assert file.stat().st_mtime_ns == written, "a finished cell is not judged again"
    assert len(cells(tmp_path / "run")) == 4
    assert cells(tmp_path / "run") == cells(tmp_path / "whole")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "holds no study. Begin one with matboard fit"),
        ("kind: pixel-fit\n", "is no study that workers share"),
        ("search: {}\n", "Give its matboard search command again"),
        ("sources: [tiny-minigpt4]\nmethods: {vp: {}}\n", "key 'task' is missing"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_folder_without_a_study_is_a_sentence(config, sentence, tmp_path):
    if config is not None:
        (tmp_path / "config.yaml").write_text(config)
        (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(InputError, match=sentence):
        work(tmp_path)
