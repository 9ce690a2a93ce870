"""From a configuration to a run folder, through the command line, kills included."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

CONFIG = """
sources: [tiny-minigpt4]
guide: tiny-guide
task: {name: scenes-recognition/noise, train: 32, test: 24}
methods: {vp: {}, tvp: {}}
steps: 12
batch_size: 4
checkpoint_every: 3
evaluate: {models: [tiny-blip2], scorers: [ranking, generation], examples: 2}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG)
    return path


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""The number of threads moves the last digits of what is learned."""


def matboard(*words):
    command = [sys.executable, "-m", "matboard", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=ONE_THREAD
    )


def fit_folder(run: Path, name: str) -> Path:
    (folder,) = (run / "fits").glob(f"{name}-*")
    return folder


def _hear_interrupts():
    """A shell starts what runs in its background deaf to them, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def steps_logged(run: Path, name: str) -> int:
    logs = list((run / "fits").glob(f"{name}-*/metrics.jsonl"))
    return logs[0].read_text().count("\n") if logs else 0


def perturbation(run: Path, name="tvp-s0"):
    return load_file(fit_folder(run, name) / "prompt/prompt.safetensors")[
        "perturbation"
    ]


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "whole"
    done = matboard("fit", config, "--out", run)
    assert done.returncode == 0, done.stderr
    return run, done


def test_a_run_folder_holds_everything(finished):
    run, done = finished
    for name in (
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "results.json",
        "prompt/prompt_config.json",
    ):
        assert (run / name).exists(), name
    results = json.loads((run / "results.json").read_text())
    assert {c["name"] for c in results["conditions"]} == {
        "full",
        "shrunk",
        "random",
        "vp",
        "tvp",
    }
    assert len(results["cells"]) == 2 * 5 * 2
    for cell in results["cells"]:
        assert cell["low"] <= cell["value"] <= cell["high"] and cell["n"] == 24
    source, target = results["models"]
    assert (
        source["is_source"] and not target["is_source"] and not target["shares_encoder"]
    )
    assert len(results["examples"]) == 4
    assert all(
        (run / shown["picture"]).exists() for shown in results["examples"][0]["shown"]
    )
    assert "tiny-blip2" in done.stdout
    assert results["precision"] in ("float32", "bfloat16") and results["device"]
    assert f"judged in {results['precision']} on {results['device']}" in done.stdout
    assert "tvp-s0: Too few steps, 12, to tell from the training loss" in done.stdout


def test_what_models_said_can_be_read_sample_by_sample(finished, tmp_path):
    run, _ = finished
    told = matboard("predictions", run, "--out", tmp_path)
    assert told.returncode == 0, told.stderr
    results = json.loads((run / "results.json").read_text())
    for cell in results["cells"]:
        folder = tmp_path / cell["task"].replace("/", "-") / cell["model"]
        file = folder / f"{cell['condition']}-{cell['scorer']}.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(rows) == 24 * max(1, len(cell["seeds"]))
        assert np.mean([row["right"] for row in rows]) == pytest.approx(cell["value"])


def test_what_was_saved_is_what_was_learned(finished):
    run, _ = finished
    record = json.loads((run / "prompts/tvp-s0/prompt_config.json").read_text())
    assert record["sources"][0]["model"] == "tiny-minigpt4"
    assert record["objective"]["feature_consistency"]["weight"] > 0
    rows = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    assert [r["step"] for r in rows if r["run"] == "tvp-s0"] == list(range(1, 13))
    assert np.abs(perturbation(run)).sum() > 0


def test_asking_again_changes_nothing_and_takes_no_learning(finished, config):
    run, _ = finished
    before = perturbation(run).copy()
    again = matboard("fit", config, "--out", run)
    assert again.returncode == 0 and "learn tvp-s0: 1/1 found" in again.stderr
    assert np.array_equal(perturbation(run), before)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_reaches_the_same_tensor(
    finished, config, tmp_path, blow
):
    run = tmp_path / "stopped"
    command = [sys.executable, "-m", "matboard", "fit", str(config), "--out", str(run)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
        preexec_fn=_hear_interrupts,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and steps_logged(run, "tvp-s0") < 4:
        time.sleep(0.01)
    os.kill(process.pid, blow)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    if blow == signal.SIGINT:
        assert "everything so far is saved. Run the same command again" in stderr
    assert not (run / "results.json").exists()
    resumed = matboard("fit", config, "--out", run)
    assert resumed.returncode == 0 and "resumed" in resumed.stderr, resumed.stderr
    whole = finished[0]
    for name in ("vp-s0", "tvp-s0"):
        assert np.array_equal(perturbation(run, name), perturbation(whole, name)), name
    cells = [
        json.loads((folder / "results.json").read_text())["cells"]
        for folder in (run, whole)
    ]
    assert cells[0] == cells[1]


def test_processes_know_of_each_other(tmp_path):
    script = tmp_path / "here.py"
    script.write_text(
        "import pathlib\nfrom matboard.transfer.fit import Processes\np = Processes.here()\n"
        f"pathlib.Path({str(tmp_path)!r}, f'{{p.index}} of {{p.count}}').touch()\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            str(script),
        ],
        check=True,
        timeout=120,
    )
    assert {file.name for file in tmp_path.iterdir()} == {"here.py", "0 of 2", "1 of 2"}


def test_two_processes_learn_what_one_does(finished, config, tmp_path):
    run = tmp_path / "two"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "-m",
        "matboard",
        "fit",
        str(config),
        "--out",
        str(run),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=ONE_THREAD,
    )
    assert done.returncode == 0, done.stderr
    assert np.allclose(perturbation(run), perturbation(finished[0]), atol=2e-3)
    assert np.abs(perturbation(run) - perturbation(run, "vp-s0")).max() > 0.01


def test_wrong_input_is_a_sentence_and_code_2(config, tmp_path):
    for words, sentence in [
        (["fit", config, "stepps=3"], "unknown key 'stepps', did you mean 'steps'?"),
        (
            ["fit", config, "sources=[tiny-minigpt5]", "--out", tmp_path / "a"],
            "Unknown model 'tiny-minigpt5'. Did you mean 'tiny-minigpt4'?",
        ),
        (
            ["fit", config, "task.name=scenes-recogniton", "--out", tmp_path / "b"],
            "Did you mean 'scenes-recognition'?",
        ),
        (["fit", tmp_path / "none.yaml"], "cannot be read"),
        (["report", tmp_path], "run"),
        (
            [
                "evaluate",
                tmp_path,
                "--models",
                "",
                "--tasks",
                "x",
                "--out",
                tmp_path / "d",
            ],
            "No models were given; name at least one.",
        ),
        (
            [
                "evaluate",
                tmp_path / "no-prompt",
                "--models",
                "tiny-blip2",
                "--tasks",
                "scenes-counting",
                "--out",
                tmp_path / "c",
            ],
            "no-prompt",
        ),
    ]:
        done = matboard(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert sentence in done.stderr and "Traceback" not in done.stderr


def test_two_commands_at_once_share_one_study(finished, config, tmp_path):
    run = tmp_path / "shared"
    command = [sys.executable, "-m", "matboard", "fit", str(config), "--out", str(run)]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    for name in ("vp-s0", "tvp-s0"):
        assert np.array_equal(
            perturbation(run, name), perturbation(finished[0], name)
        ), name
        assert steps_logged(run, name) == 12, (
            "a fit that was made twice logs its steps twice"
        )
    cells = [
        json.loads((at / "results.json").read_text())["cells"]
        for at in (run, finished[0])
    ]
    assert cells[0] == cells[1]


def test_evaluate_a_saved_prompt(finished, tmp_path):
    run = tmp_path / "judged"
    prompt = fit_folder(finished[0], "tvp-s0") / "prompt"
    done = matboard(
        "evaluate",
        prompt,
        "--models",
        "tiny-minigpt4",
        "--tasks",
        "scenes-recognition/noise",
        "--test",
        24,
        "--out",
        run,
    )
    assert done.returncode == 0, done.stderr
    cells = {
        c["condition"]: c
        for c in json.loads((run / "results.json").read_text())["cells"]
    }
    before = json.loads((finished[0] / "results.json").read_text())["cells"]
    same = next(
        c
        for c in before
        if (c["model"], c["condition"], c["scorer"])
        == ("tiny-minigpt4", "tvp", "ranking")
    )
    assert cells["prompt"]["value"] == same["value"]
    assert matboard("report", run).returncode == 0 and (run / "report.html").exists()
