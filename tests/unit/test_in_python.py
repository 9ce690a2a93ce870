"""Studies from Python, and methods by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import matboard
from matboard.errors import ConfigError, UnknownName
from matboard.studies import in_python

PROMPTS = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition", "train": 16, "test": 12},
    "prompt": {"size": 64, "width": 8},
    "methods": {"evp": {}},
    "batch_size": 4,
    "steps": 5,
    "evaluate": {"examples": 1},
}
STREAM = {
    "task": {"name": "scenes-things", "train": 96, "test": 48},
    "stream": {"tasks": 3},
    "backbone": {"model": "tiny-vit"},
    "training": {"epochs": 1, "augment": False},
    "learners": {"ridge": {}, "l2p": {"size": 4, "top_k": 2}},
    "seeds": [1],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    seen = []
    made = matboard.study(PROMPTS, out, settings={"steps": 2}, watch=seen.append)
    return made, seen


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return matboard.study_stream(STREAM, tmp_path_factory.mktemp("stream") / "run")


def test_a_study_leaves_its_table_its_prompts_and_its_page(study) -> None:
    made, seen = study
    assert {cell.condition for cell in made.results.cells} == {
        "full",
        "shrunk",
        "random",
        "evp",
    }
    assert [(one.done, one.total) for one in seen if one.stage == "learn evp-s0"] == [
        (step, 2) for step in (0, 1, 2, 2)
    ]
    assert list(made.prompts) == ["evp-s0"]
    assert made.prompts["evp-s0"].geometry == "border 8 of 64"
    assert made.report() == made.folder / "report.html"
    assert "EVP" in (made.folder / "report.html").read_text(encoding="utf-8")
    assert "EVP" in made._repr_html_()
    files = sorted(made.predictions(csv=True).rglob("*.csv"))
    assert len(files) == len(made.results.cells)
    assert len(files[0].read_text(encoding="utf-8").splitlines()) == 12 + 1


def test_a_study_that_is_there_is_found(study) -> None:
    made, _ = study
    seen = []
    again = matboard.study(
        PROMPTS, made.folder, settings={"steps": 2}, watch=seen.append
    )
    assert again.results == made.results
    assert not any(
        one.detail.startswith("step") or 0 < one.done < one.total for one in seen
    )


def test_a_method_by_name_learns_what_a_study_learns(study) -> None:
    made, _ = study
    prompt = matboard.PixelPrompt(matboard.Canvas(64, 8))
    model = matboard.load_model("tiny-minigpt4")
    task = matboard.load_task("scenes-recognition", train=16, test=12)
    matboard.fit(prompt, model, task, method="evp", steps=2, batch_size=4).run()
    learned = prompt.to_artifact().perturbation
    assert learned.any()
    assert np.array_equal(learned, made.prompts["evp-s0"].perturbation)


def test_a_method_brings_its_own_validation_and_length() -> None:
    model = matboard.load_model("tiny-minigpt4")
    task = matboard.load_task("scenes-recognition", train=20, test=8)
    fit = matboard.fit(
        matboard.PixelPrompt(matboard.Canvas(64, 8)), model, task, method="matboard"
    )
    assert fit.validation == matboard.Validation(patience=None)
    assert len(fit) == 600
    assert [term.name for term in fit.objective.terms] == [
        "task_loss",
        "candidate_contrast",
    ]
    fit.load_state(fit.state())  # else it warns that it was thrown away


def test_what_a_fit_lacks_is_said() -> None:
    prompt = matboard.PixelPrompt(matboard.Canvas(64, 8))
    model = matboard.load_model("tiny-minigpt4")
    task = matboard.load_task("scenes-recognition", train=16, test=12)
    with pytest.raises(UnknownName, match=r"Unknown method 'tpv'. Did you mean 'tvp'"):
        matboard.fit(prompt, model, task, method="tpv")
    with pytest.raises(ConfigError, match="spsa follows no gradients"):
        matboard.fit(prompt, model, task, method="spsa")
    with pytest.raises(ConfigError, match="give a method"):
        matboard.fit(prompt, model, task)
    optimiser = matboard.NormalisedGradient(matboard.Schedule(10.0, 3))
    with pytest.raises(
        ConfigError, match="steps is 2, but the optimiser's schedule has 3"
    ):
        matboard.fit(prompt, model, task, method="evp", optimiser=optimiser, steps=2)


def test_a_stream_leaves_matrices_and_who_serves_which_class(stream) -> None:
    matrix = stream.matrix("l2p")
    assert len(matrix.tasks) == 3
    (outcome,) = [one for one in stream.results.outcomes if one.learner == "l2p"]
    assert matrix.average_accuracy() == pytest.approx(outcome.accuracy)
    chosen = stream.selection("l2p", seed=1)
    assert np.array(chosen.frequency).shape == (48, 4)
    assert np.allclose(np.sum(chosen.frequency, axis=1), 2)
    assert stream.report().is_file()
    assert "ridge" in stream._repr_html_()


def test_a_learner_that_is_not_there_and_one_without_a_pool(stream) -> None:
    with pytest.raises(
        ConfigError, match=r"no lwf in this study; there are: ridge \(seed 1\)"
    ):
        stream.matrix("lwf")
    with pytest.raises(ConfigError, match=r"no l2p \(seed 0\)"):
        stream.matrix("l2p", seed=0)
    with pytest.raises(ConfigError, match=r"'ridge' has no pool .* with one: l2p"):
        stream.selection("ridge")


def test_what_is_wrong_with_a_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'stesp', did you mean 'steps'"):
        matboard.study({**PROMPTS, "stesp": 3}, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"nowhere.yaml cannot be read"):
        matboard.study("nowhere.yaml", tmp_path / "run")
    with pytest.raises(ConfigError, match="key 'learners' is missing"):
        without = {key: own for key, own in STREAM.items() if key != "learners"}
        matboard.study_stream(without, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_somebody_who_looks_sees_bars(study, capsys, monkeypatch) -> None:
    made, _ = study
    matboard.study(PROMPTS, made.folder, settings={"steps": 2})
    assert "judge" not in capsys.readouterr().err
    monkeypatch.setattr(in_python, "shows_bars", lambda: True)
    matboard.study(PROMPTS, made.folder, settings={"steps": 2})
    assert re.search(r"judge: 100%.* 1/1 .*found", capsys.readouterr().err)
