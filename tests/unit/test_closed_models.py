"""Studies of models behind an API: what they may cost, and what is not said of them."""

import pytest
from chat_server import question, said, serving
from test_endpoint import no_settings  # noqa: F401  for every test here too
from typer.testing import CliRunner

from matboard.cli import app
from matboard.errors import ModelError
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.results import read
from matboard.runs import Run
from matboard.studies.config import ModelConfig, StudyConfig
from matboard.studies.evaluate import evaluate
from matboard.studies.judging import _precision_notes
from matboard.studies.loading import Models, with_options
from matboard.studies.reading import parse

TASK = "scenes-recognition"


@pytest.fixture
def prompt(tmp_path, monkeypatch):
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path / "cache"))
    VisualPrompt(
        Canvas(32, 4), Canvas(32, 4).mask()[None].repeat(3, 0) * 0.5
    ).save_pretrained(tmp_path / "grey")
    return str(tmp_path / "grey")


def answers(body, times):
    return said(f"to {question(body)[:3]}", tokens=7)


def judged(prompt, server, out, *words):
    asked = [
        "evaluate",
        prompt,
        "--models",
        server.name,
        "--tasks",
        TASK,
        "--test",
        "3",
    ]
    asked += ["--scorers", "generation", "--precision", "bfloat16", "--out", str(out)]
    return CliRunner().invoke(app, [*asked, *words])


def test_a_limit_ends_a_table_and_a_higher_one_goes_on(prompt, tmp_path):
    with serving(answers) as server:
        done = judged(prompt, server, tmp_path / "run", "--max-calls", "5")
        assert isinstance(done.exception, ModelError)
        assert "5 calls are spent, and the limit is 5" in str(done.exception)
        assert "--max-calls, the model's max_calls in a config" in str(done.exception)
        asked = len(server.asked)
        assert asked < 6
        done = judged(prompt, server, tmp_path / "run", "--max-tokens", "9")
        assert "tokens are spent, and the limit is 9" in str(done.exception)
        done = judged(prompt, server, tmp_path / "run", "--max-calls", "0")
        assert "0 calls are spent" in str(done.exception)
        done = judged(prompt, server, tmp_path / "run")
        assert done.exit_code == 0, done.output
        assert (
            len(server.asked) == 12
        )  # three pictures in four ways, each paid for once
    assert "options" not in Run(tmp_path / "run").config()
    results = read(tmp_path / "run")
    assert results.precision is None and results.device == ""
    assert "judged in" not in done.output and "weights" not in " ".join(results.notes)


def test_a_choice_has_limits_too(prompt, tmp_path):
    words = ["select", prompt, "--task", TASK, "--pictures", "9", "--max-calls", "2"]
    with serving(answers) as server:
        out = ["--model", server.name, "--out", str(tmp_path / "run")]
        done = CliRunner().invoke(app, [*words, *out])
    assert "2 calls are spent, and the limit is 2" in str(done.exception)


def test_limits_of_a_configuration_are_of_one_model_and_no_part_of_a_run():
    own = {"model": "openai:m@http://127.0.0.1:1/v1", "max_calls": 3, "max_tokens": 4}
    raw = {
        "sources": ["tiny-minigpt4"],
        "task": {"name": TASK},
        "models": {"closed": own},
    }
    config = parse(StudyConfig, {**raw, "evaluate": {"models": ["closed"]}}, "test")
    assert config.models["closed"].options == {"max_calls": 3, "max_tokens": 4}
    assert Models(config.models).settings(["closed"]) == {
        "closed": {"model": own["model"]}
    }
    kept = config.asked["models"]["closed"]
    assert "max_calls" not in kept and kept["model"] == own["model"]


def test_limits_given_for_all_are_of_those_behind_an_api():
    asked = {
        "alias": ModelConfig(model="openai:m"),
        "open": ModelConfig(template="{question}"),
    }
    names = ["alias", "open", "tiny-blip2", "openai:n"]
    told = with_options(asked, names, ModelConfig(max_calls=0, quantise="4bit"))
    assert {name: one.cost for name, one in told.items()} == {
        "alias": {"max_calls": 0},
        "open": {},
        "tiny-blip2": {},
        "openai:n": {"max_calls": 0},
    }
    assert {one.quantise for one in told.values()} == {"4bit"}
    assert told["open"].template == "{question}"


def test_precision_is_said_of_models_that_have_one():
    weights = "were judged with their weights in bfloat16."
    assert _precision_notes(None, ["m"]) == []
    assert _precision_notes("float32", []) == []
    assert _precision_notes("bfloat16", []) == [f"All models {weights}"]
    assert _precision_notes("bfloat16", ["m"]) == [
        f"All models but those behind an API {weights}"
    ]


def test_a_table_of_open_and_closed_models_keeps_its_precision(prompt, tmp_path):
    with serving(answers) as server:
        models = ["tiny-minigpt4", server.name]
        asked = {"test": 1, "scorers": ["generation"], "precision": "bfloat16"}
        list(evaluate([prompt], models, [TASK], tmp_path / "run", **asked))
    results = read(tmp_path / "run")
    assert results.precision == "bfloat16" and results.device == "cpu"
    assert any(note.startswith("All models but those behind") for note in results.notes)
