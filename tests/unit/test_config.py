"""Configurations: words over YAML, and every wrong key named in full."""

import pytest

from matboard.errors import ConfigError
from matboard.studies.config import StudyConfig, load_config, parse

SMALL = "sources: [tiny-minigpt4]\ntask: {name: scenes-counting}\n"


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_words_are_laid_over_the_file(small):
    config = load_config(small, ["steps=7", "prompt.width=20", "methods.vp.lr=3", "seeds=[1,2]"])
    assert (config.steps, config.prompt.width, config.methods["vp"].lr, config.seeds) == (
        7,
        20,
        3.0,
        [1, 2],
    )


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("prompt.widht=20", r"unknown key 'prompt.widht', did you mean 'width'\?"),
        ("methods.tvp.lrr=2", r"unknown key 'methods.tvp.lrr', did you mean 'lr'\?"),
        (
            "evaluate.tasks=[{nam: x}]",
            (
                r"key 'evaluate.tasks.0.name' is missing; unknown key 'evaluate.tasks.0.nam', did"
                r" you mean 'name'\?"
            ),
        ),
        ("stepps=3", r"unknown key 'stepps', did you mean 'steps'\?"),
        ("steps=many", r"steps: Input should be a valid integer.*\(came: 'many'\)"),
        ("seeds=[1,1]", r"seeds names something twice: \[1, 1\]"),
        ("steps", r"'steps' is no setting; expected key.sub=value"),
        ("task.name.first=3", r"'name' holds 'scenes-counting', which has no keys below it"),
        ("steps=[1", r"'steps=\[1' is no setting"),
    ],
)
def test_wrong_words(small, word, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_config(small, [word])


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ConfigError, match=r"sources.*task") as error:
        parse(StudyConfig, {"sources": []}, "x.yaml")
    assert str(error.value).startswith("x.yaml: ")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="holds list; expected keys and values"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_config(tmp_path / "broken.yaml")
