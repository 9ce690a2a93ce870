"""A continual run through the command line: killed, resumed, refused, reported."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from matboard.metrics import AccuracyMatrix

CONFIG = """
title: a small stream
task: {name: scenes-things, train: 96, test: 96}
stream: {tasks: 4}
backbone: {model: tiny-vit}
seeds: [0, 1]
reference: l2p
training: {epochs: 2, lr: 0.02, augment: false}
learners:
  ridge:
  l2p:
  image-prompt: {side: 20}
"""
FIGURE = re.compile(
    r'<figure>\s*<figcaption>([\w-]+) <small class="note">([^<]*)</small></figcaption>'
    r"\s*(<svg.*?</svg>)",
    re.DOTALL,
)


def matboard(*words):
    command = [sys.executable, "-m", "matboard", *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def fit_folder(run, name):
    (folder,) = (run / "fits").glob(f"{name}-*")
    return folder


def steps_logged(run, name):
    logs = list((run / "fits").glob(f"{name}-*/metrics.jsonl"))
    return logs[0].read_text().count("\n") if logs else 0


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "stream.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    done = matboard("continual", config, "--out", run)
    assert done.returncode == 0, done.stderr
    return run, done


def test_a_run_holds_everything_and_says_it(finished):
    run, done = finished
    results = json.loads((run / "results.json").read_text())
    assert results["kind"] == "stream" and len(results["outcomes"]) == 6
    for cell in results["outcomes"]:
        matrix = AccuracyMatrix.from_csv(run / cell["matrix"])
        assert matrix.average_accuracy() == pytest.approx(cell["accuracy"])
        assert matrix.forgetting() == pytest.approx(cell["forgetting"]["chaudhry"])
    by_learner = {row["learner"]: row for row in results["summary"]}
    assert (
        by_learner["l2p"]["against"] is None
        and by_learner["ridge"]["against"]["accuracy"]["value"] > 0
    )
    mean = sum(c["accuracy"] for c in results["outcomes"] if c["learner"] == "l2p") / 2
    assert by_learner["l2p"]["accuracy"]["value"] == pytest.approx(mean)
    drawn = next(one for one in results["outcomes"] if one["learner"] == "image-prompt")
    assert len(drawn["pictures"]) == 10 and all(
        (run / one).exists() for one in drawn["pictures"]
    )
    selection = json.loads((fit_folder(run, "l2p-s0") / "selection.json").read_text())
    assert selection["prompts"] == 10 and 0 < selection["p_value"] <= 1
    assert "ridge" in done.stdout and "Traceback" not in done.stderr
    assert matboard("report", run).returncode == 0
    assert "a small stream" in (run / "report.html").read_text()


def check_unfinished_report(run, command):
    """The page of a run killed in l2p's second seed: what is finished, the rows of what was
    running, how to go on.
    """
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert matboard("report", run).returncode == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    page = (run / "report.html").read_text()
    found = re.search(
        r"3 of 6 fits are finished, l2p \(seed 1\) has learned (\d) of 4 tasks and 2 fits have not"
        r" begun\.",
        page,
    )
    assert found and shlex.join(["python", *command[1:]]) in page
    assert (rows := int(found[1])) >= 2
    cells = {
        (name, said): svg.count('class="number"')
        for name, said, svg in FIGURE.findall(page)
    }
    assert cells.pop(("ridge", "2 seeds")) == cells.pop(("l2p", "1 seed")) == 10
    assert cells == {
        ("l2p", f"seed 1, {rows} of 4 tasks so far"): rows * (rows + 1) // 2
    }


def test_a_killed_run_goes_on_to_the_same_matrices(finished, config, tmp_path):
    run = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "matboard",
        "continual",
        str(config),
        "--out",
        str(run),
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and steps_logged(run, "l2p-s1") < 9:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert steps_logged(run, "l2p-s1") and not (run / "results.json").exists()
    check_unfinished_report(run, command)
    resumed = matboard("continual", config, "--out", run)
    assert resumed.returncode == 0, resumed.stderr
    for whole in sorted((finished[0] / "fits").iterdir()):
        for name in ("matrix.csv", "selection.json"):
            if (whole / name).exists():
                again = run / "fits" / whole.name / name
                assert again.read_bytes() == (whole / name).read_bytes(), again


def test_wrong_input_is_a_sentence_and_code_2(finished, config, tmp_path):
    for words, sentence in [
        (
            [config, "training.epochs=3", "--out", finished[0]],
            "holds a run with another configuration (training.epochs differ)",
        ),
        (
            [config, "stream.tasks=49", "--out", tmp_path / "a"],
            "scenes-things has 48 classes, which cannot be cut into 49 tasks",
        ),
        (
            [config, "task.test=20", "--out", tmp_path / "b"],
            "classes have no test picture",
        ),
        (
            [config, "learners.l2p.top_k=11", "--out", tmp_path / "c"],
            "top_k is 11, but the pool holds 10 prompts",
        ),
        (
            [config, "learners.l2p.topk=3", "--out", tmp_path / "d"],
            "Did you mean 'top_k'?",
        ),
        (
            [config, "learners={l2pp: {}}", "reference=l2pp", "--out", tmp_path / "e"],
            "Unknown learner 'l2pp'. Did you mean 'l2p'?",
        ),
        (
            [config, "backbone.model=tiny-vitt", "--out", tmp_path / "f"],
            "Unknown backbone 'tiny-vitt'. Did you mean 'tiny-vit'?",
        ),
        (
            [config, "streams.tasks=3", "--out", tmp_path / "g"],
            "unknown key 'streams', did you mean 'stream'?",
        ),
        (
            [config, "reference=l3p", "--out", tmp_path / "h"],
            "reference is 'l3p', which is none of the learners",
        ),
    ]:
        done = matboard("continual", *words)
        assert done.returncode == 2, (words, done.stderr)
        assert (
            sentence in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
        ), (
            words,
            done.stderr,
        )
    assert not any(
        (tmp_path / name).exists() and any((tmp_path / name).rglob("metrics.jsonl"))
        for name in "abcdefgh"
    )


def test_domains_come_one_after_the_other(config, tmp_path):
    run = tmp_path / "domains"
    words = [
        (
            "stream={kind: domain-incremental, domains: [scenes-recognition,"
            " scenes-recognition/noise]}"
        ),
        "task={name: scenes-recognition, train: 32, test: 16}",
        "learners={ridge: {}, l2p: {epochs: 1}}",
        "seeds=[0]",
    ]
    done = matboard("continual", config, *words, "--out", run)
    assert done.returncode == 0, done.stderr
    results = json.loads((run / "results.json").read_text())
    assert (
        results["stream"]["kind"] == "domain-incremental"
        and results["stream"]["tasks"] == 2
    )
    assert [task["name"] for task in results["outcomes"][0]["tasks"]] == [
        "scenes-recognition",
        "scenes-recognition/noise",
    ]
