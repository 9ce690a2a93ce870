"""Choosing a prompt through the command line: a live model, its owner's predictions, bad wishes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas


def matboard(*words):
    command = [sys.executable, "-m", "matboard", *map(str, words)]
    said = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )
    return said


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts") / "grey"
    canvas = Canvas(224, 90)
    values = np.where(canvas.mask(), np.float32(0.5), np.float32(0))
    VisualPrompt(canvas, values[None].repeat(3, 0)).save_pretrained(folder)
    return folder


def test_a_prompt_that_does_not_help_is_not_used(grey, tmp_path):
    run = tmp_path / "run"
    words = ("select", grey, "--model", "tiny-blip2", "--task", "scenes-recognition")
    done = matboard(*words, "--pictures", 12, "--out", run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Use no prompt: of 2 candidates none has shown a gain."
    )
    assert not (run / "prompt").exists()
    results = json.loads((run / "results.json").read_text())
    assert results["winner"] is None and results["kind"] == "choice"
    assert results["model"] == "tiny-blip2" and results["scorer"] == "ranking"
    again = matboard(*words, "--pictures", 12, "--out", run)
    assert again.stdout == done.stdout and "found" in again.stderr


def test_an_owner_brings_predictions(grey, tmp_path):
    out = tmp_path / "pictures"
    words = ("select", grey, "--task", "scenes-counting", "--pictures", 20)
    done = matboard(*words, "--pictures-out", out)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "manifest.jsonl").open()]
    assert len(rows) == 60 and all((out / row["picture"]).exists() for row in rows)
    lines = ["id,prompt,right"]
    for row in rows:
        lines.append(f"{row['id']},{row['prompt']},{int(row['prompt'] == 'grey')}")
    said = tmp_path / "said.csv"
    said.write_text("\n".join(lines))
    run = tmp_path / "run"
    done = matboard("select", grey, "--predictions", said, "--out", run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Use grey: +1.00 in accuracy on 14 pictures")
    assert (run / "prompt/prompt_config.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["p", "--task", "scenes-counting"],
            "0 of --model, --predictions and --pictures-out were given; expected one: the model to"
            " ask, what it said, or where to write pictures for its owner.",
        ),
        (
            ["--model", "tiny-blip2", "--task", "scenes-counting"],
            "No prompt was given; name at least one to choose from.",
        ),
        (
            ["p", "--model", "tiny-blip2"],
            "No labelled pictures were given; name them with --task.",
        ),
        (
            ["--predictions", "none.csv"],
            "none.csv cannot be read: no such file or directory.",
        ),
        (
            ["--predictions", "none.csv", "--max-calls", "9"],
            "--max-calls came, but no --model is asked anything; leave it out.",
        ),
    ],
)
def test_bad_wishes_are_answered_in_a_sentence(words, sentence, tmp_path):
    done = matboard("select", *words, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: {sentence}"
