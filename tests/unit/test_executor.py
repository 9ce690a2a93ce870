"""Who works off a study's units, as its configuration says."""

import importlib.util

import pytest

from matboard.errors import ConfigError, MissingExtra
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.executor import ExecutorConfig
from matboard.studies.prompts import study
from matboard.studies.reading import parse

STUDY = {"sources": ["tiny-minigpt4"], "task": {"name": "scenes-counting"}}


def test_the_executor_is_no_part_of_what_a_study_is_made_from():
    here = parse(StudyConfig, STUDY, "")
    ray = parse(StudyConfig, {**STUDY, "executor": "ray"}, "")
    assert ray.executor == ExecutorConfig(name="ray") and here.executor.name == "here"
    assert ray.asked == here.asked and "executor" not in here.asked
    stream = {
        "task": {"name": "scenes-things"},
        "backbone": {"model": "tiny-vit"},
        "learners": {"ridge": {}},
        "executor": {"name": "ray", "gpus": 0.5, "workers": 3},
    }
    assert parse(ContinualConfig, stream, "").executor.gpus == 0.5


@pytest.mark.parametrize(
    ("executor", "sentence"),
    [
        (
            "rya",
            "executor.name: expected 'here' or 'ray' (did you mean 'ray'?), came 'rya'",
        ),
        ({"gpus": 1}, "gpus are settings of ray; write name: ray beside them"),
        ({"name": "ray", "gpu": 1}, "unknown key 'executor.gpu', did you mean 'gpus'?"),
        ({"name": "ray", "workers": 0}, "executor.workers: "),
        ({"name": "ray", "cpus": float("nan")}, "executor.cpus: "),
    ],
)
def test_a_wrong_executor_is_a_sentence(executor, sentence):
    with pytest.raises(ConfigError) as error:
        parse(StudyConfig, {**STUDY, "executor": executor}, "")
    assert sentence in str(error.value)


def test_ray_and_torchrun_do_not_go_together():
    ExecutorConfig(name="ray").check(1)
    ExecutorConfig().check(2)
    with pytest.raises(ConfigError, match="torchrun started 2 processes"):
        ExecutorConfig(name="ray").check(2)


def test_without_ray_it_is_a_sentence(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    absent = {"ray": None}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else find(name)
    )
    asked = {**STUDY, "steps": 1, "methods": {"vp": {}}, "executor": "ray"}
    with pytest.raises(MissingExtra, match="pip install 'matboard\\[ray\\]'"):
        list(study(parse(StudyConfig, asked, ""), tmp_path / "run"))
