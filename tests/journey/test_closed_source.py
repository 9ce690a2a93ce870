"""A border learned behind an API, from the configuration to the results, and interrupted."""

import json
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from matboard.cli import app
from matboard.results import FitResults, read

MODEL = "tiny-minigpt4"
STUDY = """
sources: ["{source}"]
task: {{name: scenes-recognition/noise, train: 24, test: 4}}
prompt: {{size: 64, width: 8, resolution: 4}}
methods: {{spsa: {{queries: 60, black_box: {{proposals: 4}}}}}}
batch_size: 2
checkpoint_every: 1
validation: null
evaluate: {{examples: 1}}
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


def learned(run):
    (folder,) = (run / "fits").glob("spsa-s0-*")
    return load_file(folder / "prompt/prompt.safetensors")["perturbation"]


def test_a_border_is_learned_behind_an_api_and_a_limit_of_calls_only_interrupts(
    server, tmp_path, monkeypatch
):
    """Every picture costs eight calls, one a candidate."""
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(source=server))

    def fit(name):
        return CliRunner().invoke(
            app, ["fit", str(file), "--out", str(tmp_path / name)]
        )

    whole = fit("whole")
    assert whole.exit_code == 0, whole.output
    results = read(tmp_path / "whole")
    cells = {cell.condition for cell in results.cells}
    assert cells == {"full", "shrunk", "random", "spsa"}
    assert [one.label for one in results.methods] == ["SPSA"]
    (folder,) = (tmp_path / "whole/fits").glob("spsa-s0-*")
    told = read(folder)
    assert isinstance(told, FitResults)
    assert told.queries == 56 and told.steps == 7  # an eighth would take 64
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert steps[-1]["queries"] == told.queries
    assert steps[0]["losses"].keys() == {"expected_wrong"}

    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path / "other cache"))
    monkeypatch.setenv("MATBOARD_API_CALLS", "250")
    cut = fit("cut")
    assert "250" in str(cut.exception)
    monkeypatch.delenv("MATBOARD_API_CALLS")
    gone_on = fit("cut")
    assert gone_on.exit_code == 0, gone_on.output
    assert learned(tmp_path / "whole").any()
    assert (learned(tmp_path / "cut") == learned(tmp_path / "whole")).all()
