"""Several prompts in one ``matboard evaluate``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from matboard import load_prompt
from matboard.cli import app
from matboard.errors import ConfigError
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.results import TransferResults, read
from matboard.studies.choose.candidates import load_candidates
from matboard.studies.evaluate import evaluate
from matboard.studies.work import work

TASK = "scenes-recognition/noise"
MODEL = "tiny-blip2"


def save(folder: Path, width: int, seed: int, source: str) -> str:
    told = {"method": "vp", "seed": 0, "sources": [{"model": source}]}
    drawn = PixelPrompt(Canvas(224, width)).to_artifact().noise(seed)
    drawn.with_scores([], **told).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("prompts")
    return [
        save(folder / "one" / "prompt", 30, 1, MODEL),
        save(folder / "two" / "prompt", 30, 2, "tiny-bliva"),
        save(folder / "thin" / "prompt", 10, 3, "tiny-bliva"),
    ]


@pytest.fixture(scope="module")
def run(prompts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("several") / "run"
    words = ["--models", MODEL, "--tasks", TASK, "--test", "12", "--out", str(folder)]
    done = CliRunner().invoke(app, ["evaluate", *prompts, *words])
    assert done.exit_code == 0, done.output
    assert "two − one" in re.sub(r"\s+", " ", done.output), "one method minus another"
    return folder


def results(run: Path) -> TransferResults:
    found = read(run)
    assert isinstance(found, TransferResults)
    return found


def test_each_is_a_condition_and_baselines_stand_once_a_geometry(run):
    found = results(run)
    assert [c.name for c in found.methods] == ["one", "two", "thin"]
    assert [c.label for c in found.methods] == ["one", "two", "thin"]
    kinds = [(c.baseline, c.geometry) for c in found.baselines]
    assert len(kinds) == len(set(kinds)) == 5, "full, and two of each geometry"
    assert found.sources == (MODEL,)
    note = f"one on {MODEL}; two on tiny-bliva; thin on tiny-bliva"
    assert any(note in one for one in found.notes)


def test_differences_between_them_are_paired(run):
    """One's gain over the full picture minus another's is what one gains over the other."""
    found = results(run)
    value = {cell.condition: cell.value for cell in found.cells}
    pairs = {(c.method, c.against): c for c in found.contrasts if c.against}
    assert set(pairs) == {("two", "one"), ("thin", "one"), ("thin", "two")}
    for (method, against), contrast in pairs.items():
        assert contrast.difference.value == pytest.approx(
            value[method] - value[against]
        )
        assert contrast.difference.low is not None


def test_the_run_folder_keeps_every_prompt_with_its_scores(run, prompts):
    for name, place in zip(("one", "two", "thin"), prompts):
        kept = load_prompt(run / "prompts" / name)
        assert np.array_equal(kept.perturbation, load_prompt(place).perturbation)
        assert [score["model"] for score in kept.config["scores"]] == [MODEL]


def test_a_worker_finds_it_finished(run):
    assert [event.detail for event in work(run)] == ["found"]


def test_one_that_is_given_twice_is_refused(prompts, tmp_path):
    with pytest.raises(ConfigError, match="was given twice; name it once"):
        list(evaluate([prompts[0]] * 2, [MODEL], [TASK], tmp_path / "run"))
    spelt = f"{prompts[0]}/../prompt"
    with pytest.raises(ConfigError, match="was given twice; name it once"):
        list(evaluate([prompts[0], spelt], [MODEL], [TASK], tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_two_that_only_an_ending_tells_apart_are_refused(tmp_path):
    folder = save(tmp_path / "a", 30, 1, MODEL)
    picture = tmp_path / "a.png"
    load_prompt(save(tmp_path / "b", 30, 2, MODEL)).preview().save(picture)
    said = f"{folder} and {picture} would both be called 'a'"
    with pytest.raises(ConfigError, match=re.escape(said)):
        list(evaluate([folder, str(picture)], [MODEL], [TASK], tmp_path / "run"))
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_candidates([folder, str(picture)])
