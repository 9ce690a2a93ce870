"""The reference of configurations says what their classes do; so do the commands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import ConfigError, UnknownName
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.reading import load_config
from matboard.studies.reference import find, keys, meanings, page

ROOT = Path(__file__).parents[2]


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("kind", [StudyConfig, ContinualConfig])
def test_every_key_has_a_meaning_and_says_what_it_takes(kind):
    every = keys(kind)
    assert not [key.name for key in every if not key.meaning]
    assert len({key.name for key in every}) == len(every)
    assert {key.name for key in every if "." not in key.name} == set(kind.model_fields)


def test_keys_say_defaults_ranges_and_choices():
    told = {key.name: key for key in keys(StudyConfig)}
    width = told["prompt.width"]
    assert (width.takes, width.default) == (
        "whole number (at least 0, at most 4096)",
        "30",
    )
    assert told["prompt.layout"].takes == "border or patch or full"
    assert told["sources"].default == "" and told["sources"].takes == "list of: text"
    assert told["lr"].takes == "number (above 0) or null"
    assert (
        told["evaluate.tasks.0.held_out"].takes == "number (above 0, below 1) or null"
    )
    assert told["models.NAME.mapping"].default == "null"
    assert told["validation.share"].takes == "number (above 0, below 1)"
    assert told["validation.patience"].default == "5"
    stream = {key.name: key for key in keys(ContinualConfig)}
    assert stream["training.head"].takes == "linear or ridge or ridge-both"
    assert "training.seed" not in stream
    assert "nothing is learned from" in told["task.held_out"].meaning


def test_meanings_stand_in_docstrings():
    class Base:
        """One.

        Attributes:
            a, b: both of them, which
                takes two lines.

        Raises:
            c: no attribute.
        """

    class Below(Base):
        """Two.

        Attributes:
            b: another.
        """

    assert meanings(Below) == {
        "a": "both of them, which takes two lines.",
        "b": "another.",
    }


def test_the_page_is_what_the_classes_say():
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "run python docs/configuration.py"


def test_config_explains_a_key_and_those_below_it():
    told = invoke("config", "prompt").stdout
    assert "prompt.level" in told and "null: black" in told and "sources" not in told
    assert list(find("backbone")) == ["matboard continual"]
    assert list(find("task")) == ["matboard fit", "matboard continual"]
    assert "matboard continual:\n" in invoke("config").stdout
    with pytest.raises(UnknownName, match=r"Did you mean 'prompt\.width'\?"):
        find("prompt.widht")


def test_init_writes_a_configuration_that_fit_takes(tmp_path):
    for part in ("train", "test"):
        for place, name in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (60 * place, 9, len(part))).save(folder / "1.png")
    out = tmp_path / "pets.yaml"
    done = invoke("init", tmp_path / "pets", "--out", out)
    assert done.exit_code == 0, done.output
    assert "# pets: 2 training and 2 test samples, 2 answers" in out.read_text()
    config = load_config(out, [], StudyConfig)
    assert config.task.name == str(tmp_path / "pets") and list(config.methods) == [
        "vp",
        "evp",
        "tvp",
    ]
    assert max(map(len, out.read_text().splitlines())) <= 100 + len(str(tmp_path))
    again = invoke("init", tmp_path / "pets", "--out", out)
    assert isinstance(again.exception, ConfigError) and "is there" in str(
        again.exception
    )


def test_validate_says_the_size_of_a_study_or_what_is_wrong(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "sources: [tiny-minigpt4]\nguide: tiny-guide\ntask: {name: scenes-counting}\n"
        "methods: {vp: {}, tvp: {}}\nseeds: [0, 1, 2]\n"
    )
    told = invoke("validate", file, "evaluate.models=[tiny-blip2]").stdout
    assert "2 variants (vp, tvp), 3 seeds, 6 fits on tiny-minigpt4" in told
    assert "judged on 2 models" in told
    wrong = invoke("validate", file, "stepps=3")
    assert "unknown key 'stepps', did you mean 'steps'?" in str(wrong.exception)
    file.write_text(
        "task: {name: scenes-things}\nbackbone: {model: tiny-vit}\nlearners: {l2p: {}}\n"
    )
    assert "1 learner (l2p), 1 seed, 1 run" in invoke("validate", file).stdout
