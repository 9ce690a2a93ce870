"""A package from outside adds a family, task, metric, learner and term, and all are used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from matboard.zoo import resolve

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"

SCRIPT = """
import contextlib, io, json, sys
from matboard.cli import main

def command(words):
    said = io.StringIO()
    sys.argv = ["matboard", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return [code, said.getvalue()]

said = [command(words) for words in json.load(sys.stdin)]
from matboard import load_model
json.dump([*said, [0, load_model("terse").family.template]], sys.stdout)
"""
STEPS = {
    "families": "list families",
    "tasks": "list tasks",
    "metrics": "list metrics",
    "learners": "list learners",
    "objectives": "list objectives",
    "fit": (
        "fit fit.yaml --out fit sources=[terse] evaluate.models=[] steps=2 task.train=8"
        " task.test=12"
    ),
    "evaluate": (
        "evaluate fit/prompt --models terse --tasks stripes --test 12 --out judged"
    ),
    "continual": "continual stream.yaml --out stream task.train=96 task.test=48",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where the package is installed and its examples lie, beside a model of its family."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, folder / "source")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    install += [
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--no-warn-conflicts",
    ]
    subprocess.run([*install, "--target", folder / "site", source], check=True)
    terse = shutil.copytree(resolve("tiny-blip2"), folder / "terse")
    config = json.loads((terse / "config.json").read_text())
    (terse / "config.json").write_text(json.dumps({**config, "terse": True}))
    for example in ("fit.yaml", "stream.yaml"):
        shutil.copy(PLUGIN / example, folder)
    return folder


@pytest.fixture(scope="module")
def said(place) -> dict[str, str]:
    """What each command printed; all of them in one process."""
    paths = [str(place / "site"), str(ROOT / "src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([step.split() for step in STEPS.values()]),
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(zip([*STEPS, "template"], json.loads(done.stdout), strict=True))
    failed = {name: text for name, (code, text) in answers.items() if code != 0}
    assert not failed
    return {name: text for name, (_, text) in answers.items()}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("families", "terse                     of the package matboard-example"),
        ("tasks", "stripes                   of the package matboard-example"),
        ("metrics", "balanced_accuracy"),
        ("learners", "shrunken-means       options: shrink"),
        ("objectives", "total_variation"),
    ],
)
def test_what_the_package_adds_is_listed(said, what, name):
    assert name in said[what]


def test_its_family_writes_the_prompt(said):
    assert said["template"] == "{question} in one word:"


def test_prompts_are_learned_on_its_family_and_task_with_its_term(said, place):
    results = json.loads((place / "fit/results.json").read_text())
    assert [task["metric"] for task in results["tasks"]] == ["balanced_accuracy"]
    conditions = {condition["name"] for condition in results["conditions"]}
    assert {"vp", "smooth"} <= conditions
    rows = (place / "fit/metrics.jsonl").read_text().splitlines()
    assert any("total_variation" in json.loads(row).get("losses", {}) for row in rows)


def test_a_prompt_is_judged_by_its_metric(said, place):
    results = json.loads((place / "judged/results.json").read_text())
    assert {cell["metric"] for cell in results["cells"]} == {"balanced_accuracy"}
    assert all(0 <= cell["value"] <= 1 for cell in results["cells"])


def test_its_learner_stands_in_the_stream(said, place):
    assert "shrunken-means" in said["continual"]
    learners = yaml.safe_load((place / "stream/config.yaml").read_text())["learners"]
    assert learners["shrunken-means"]["shrink"] == 0.2
