"""A study on a Ray cluster of two nodes on this machine, one of whose workers is killed."""

import json
import os
import re
import signal
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from matboard.errors import RunError
from matboard.studies.config import StudyConfig
from matboard.studies.engine import LOCKS
from matboard.studies.prompts import study
from matboard.studies.reading import parse

ray = pytest.importorskip("ray")

STUDY = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition/noise", "train": 8, "test": 4},
    "methods": {"vp": {}},
    "seeds": [0, 1],
    "steps": 40,
    "batch_size": 2,
    "checkpoint_every": 3,
    "evaluate": {"examples": 1},
}


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one CPU each, where Ray's environment says."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    made = Cluster(True, head_node_args={**node, "include_dashboard": False})
    made.add_node(**node)
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kill_in_the_middle(run, killed):
    """Kill the first worker that has made some steps of a fit, as its lease names it."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for log in (run / "fits").glob("*/metrics.jsonl"):
            address = log.parent.name.rpartition("-")[2]
            lease = run / LOCKS / f"{address}.lease"
            if 3 < log.read_text().count("\n") < 30 and lease.exists():
                pid = int(re.search(r"^pid=(\d+)$", lease.read_text(), re.M)[1])
                os.kill(pid, signal.SIGKILL)
                killed.append((pid, log.read_text().count("\n")))
                return
        time.sleep(0.01)


def outcome(run):
    cells = json.loads((run / "results.json").read_text())["cells"]
    prompts = {
        file.parent.parent.name: load_file(file)["perturbation"]
        for file in run.glob("fits/*/prompt/prompt.safetensors")
    }
    steps = {
        log.parent.name: [json.loads(line)["step"] for line in log.open()]
        for log in run.glob("fits/*/metrics.jsonl")
    }
    return cells, prompts, steps


def test_a_killed_worker_costs_a_cluster_nothing(cluster, tmp_path):
    run, killed = tmp_path / "ray", []
    executor = {"name": "ray", "gpus": 0}
    config = parse(StudyConfig, {**STUDY, "executor": executor}, "")
    killer = threading.Thread(
        target=kill_in_the_middle, args=(run, killed), daemon=True
    )
    killer.start()
    stages = [event.stage for event in study(config, run)]
    killer.join(60)
    assert killed and {"learn", "judge"} <= set(stages)
    assert not ray.is_initialized()
    list(study(parse(StudyConfig, STUDY, ""), tmp_path / "one"))
    ours, theirs = outcome(run), outcome(tmp_path / "one")
    assert ours[0] == theirs[0]
    assert len(ours[1]) == 2 and ours[1].keys() == theirs[1].keys()
    assert all(np.array_equal(ours[1][name], theirs[1][name]) for name in ours[1])
    assert all(steps == list(range(1, 41)) for steps in ours[2].values())


def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path, monkeypatch):
    from ray._private.services import find_gcs_addresses

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if find_gcs_addresses():
        pytest.skip("a cluster runs on this machine")
    config = parse(StudyConfig, {**STUDY, "executor": "ray"}, "")
    with pytest.raises(RunError, match="No Ray cluster was found"):
        list(study(config, tmp_path / "run"))
