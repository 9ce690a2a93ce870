"""A border learned behind an API, from the configuration to the results, a kill included."""

import json
import os
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from matboard.results import FitResults, read

MODEL = "tiny-minigpt4"
STUDY = """
sources: ["{source}"]
task: {{name: scenes-recognition/noise, train: 24, test: 4}}
prompt: {{size: 64, width: 8, resolution: 4}}
methods: {methods}
batch_size: 2
seeds: [0]
checkpoint_every: 1
validation: {{limit: 2, every: 3}}
evaluate: {{examples: 1, scorers: [{scorer}]}}
"""


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, "-m", "matboard", "serve-model", MODEL, "--port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield running.stdout.readline().strip()
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(300)
        running.stdout.close()


def fit(folder, server, methods, scorer="ranking", **more):
    folder.mkdir(exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(STUDY.format(source=server, methods=methods, scorer=scorer))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MATBOARD_CACHE": str(folder / "cache"),
        **more,
    }
    command = [sys.executable, "-m", "matboard", "fit", file, "--out", folder / "run"]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment
    )


SPSA = "{spsa: {queries: 60, black_box: {proposals: 4}}}"


def test_a_border_is_learned_behind_an_api_and_a_limit_of_calls_only_interrupts(
    server, tmp_path
):
    """Every answer costs eight calls, one a candidate."""
    whole = fit(tmp_path / "whole", server, SPSA)
    assert whole.returncode == 0, whole.stderr
    results = read(tmp_path / "whole" / "run")
    cells = {cell.condition: cell for cell in results.cells}
    assert cells.keys() == {"full", "shrunk", "random", "spsa"}
    (folder,) = (tmp_path / "whole/run/fits").glob("spsa-s0-*")
    told = read(folder)
    assert isinstance(told, FitResults)
    assert 0 < told.queries <= 60 and told.steps == 6
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert [step["queries"] for step in steps][-1] == told.queries
    assert steps[0]["losses"].keys() == {"candidate_contrast"}

    cut = fit(tmp_path / "cut", server, SPSA, MATBOARD_API_CALLS="250")
    assert cut.returncode == 2 and "250" in cut.stderr
    gone_on = fit(tmp_path / "cut", server, SPSA)
    assert gone_on.returncode == 0, gone_on.stderr
    (other,) = (tmp_path / "cut/run/fits").glob("spsa-s0-*")
    name = "prompt/prompt.safetensors"
    learned = load_file(folder / name)["perturbation"]
    assert learned.any()
    assert (load_file(other / name)["perturbation"] == learned).all()


def test_gradients_are_refused_behind_an_api_before_anything_is_learned(
    server, tmp_path
):
    said = fit(tmp_path / "white", server, "{spsa: {queries: 60}, matboard: {}}")
    assert said.returncode == 2
    assert "only asks what it answers: spsa or cma" in " ".join(said.stderr.split())
    assert not (tmp_path / "white/run/fits").exists()
