"""From a finished study to numbers and drawings of what its prompts do inside the models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from matboard.errors import RunError, UnknownName
from matboard.report import write_report
from matboard.results import AnalysisResults, TransferResults, read
from matboard.results.transfer import Origin
from matboard.studies.analyse import analysing
from matboard.studies.analyse.analysing import Wanted, analyse
from matboard.studies.config import StudyConfig
from matboard.studies.prompts import study
from matboard.studies.reading import parse

SMALL = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-recognition/noise", "train": 16, "test": 24},
    "methods": {"vp": {}, "evp": {}},
    "steps": 2,
    "batch_size": 4,
    "evaluate": {"models": ["tiny-visualglm"], "examples": 0},
}
RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    list(study(parse(StudyConfig, SMALL, "small"), folder))
    list(analyse(folder, Wanted(pictures=20)))
    return folder


def found(run: Path) -> AnalysisResults:
    results = read(run / "analysis.json")
    assert isinstance(results, AnalysisResults)
    return results


def test_every_model_is_seen_under_every_condition(run: Path) -> None:
    seen = found(run)
    assert [view.name for view in seen.views] == ["full", "shrunk", "vp", "evp"]
    assert len(seen.labels) == 20 and len(seen.classes) == 8
    for model in seen.models:
        assert [facts.condition for facts in model.features] == [
            "full",
            "shrunk",
            "vp",
            "evp",
        ]
        clean, shrunk, *_ = model.features
        assert clean.drift is None
        assert shrunk.drift is not None and (shrunk.drift.value or 0) > 0
        assert model.spread and model.dim > 1
        full, behind, *_ = model.gradients
        assert full.inside.value == pytest.approx(1) and full.area == 1
        assert behind.area == pytest.approx((164 / 224) ** 2)
        assert all(
            (run / file).exists() for facts in model.gradients for file in facts.maps
        )


def test_results_say_how_the_prompts_came_to_be(run: Path) -> None:
    results = read(run)
    assert isinstance(results, TransferResults)
    assert results.condition("evp").origin == Origin(
        variant="evp",
        sources=("tiny-minigpt4",),
        task="scenes-recognition/noise",
        terms={"task_loss": 1.0},
    )


def test_a_model_that_was_seen_is_not_loaded_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(run)

    def refuse(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("matboard.studies.loading.Models.judged", refuse)
    list(analyse(run, Wanted(pictures=20)))
    again = found(run)
    assert again.models == before.models and again.made_from == before.made_from


def test_the_report_draws_it(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert "Inside the models" in page
    assert page.count("t-SNE of tiny-visualglm’s features") == 4
    assert page.count('<img src="data:image/png') >= 2 * 4 * 2


def test_what_cannot_be_looked_at_is_a_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown model 'tiny-blip2'"):
        list(analyse(run, Wanted(models=["tiny-blip2"])))
    with pytest.raises(UnknownName, match="Unknown prompt of the study 'tvp'"):
        list(analyse(run, Wanted(methods=["tvp"])))
    with pytest.raises(UnknownName, match="Unknown tap 'eye'"):
        list(analyse(run, Wanted(tap="eye")))
    with pytest.raises(RunError, match="holds no study of pixel prompts"):
        list(analyse(RECORDED / "stream", Wanted()))
    with pytest.raises(RunError, match="results appear when a run has finished"):
        list(analyse(tmp_path, Wanted()))


def test_one_of_several_tasks_and_prompts_and_a_note_on_the_others(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysing, "MOST", 1)
    list(analyse(run, Wanted(pictures=12, models=["tiny-minigpt4"], tap="projector")))
    seen = found(run)
    assert [view.name for view in seen.views] == ["full", "shrunk", "vp"]
    assert seen.notes == (
        "Of 2 kinds of prompts the first 1 were looked at; --methods names others: evp.",
    )


def test_the_command_prints_the_numbers(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from matboard.cli import main

    words = ["analyse", str(run), "--pictures", "20", "--models", "tiny-visualglm"]
    monkeypatch.setattr(sys, "argv", ["matboard", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "silhouette" in said and "see it: matboard report" in said
    content = json.loads((run / "analysis.json").read_text())
    assert [model["model"] for model in content["models"]] == ["tiny-visualglm"]
