"""``matboard proxy``; `test_serve_model` has it in front of a model."""

import re

import numpy as np
import openai
import pytest
from running import running
from typer.testing import CliRunner

from matboard.cli import app
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas

KEY = "sk-very-secret"
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from matboard.cli import main
main()
"""


@pytest.fixture(scope="module")
def prompt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompt") / "drawn"
    canvas = Canvas(64, 8)
    drawn = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    made = VisualPrompt(canvas, drawn * canvas.mask())
    made.save_pretrained(folder)
    return made, folder


def asked(url, question):
    image = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [{"type": "text", "text": question}, image]}]


def test_it_needs_no_torch_and_says_what_it_does(prompt):
    options = ("--prompt", prompt[1], "--upstream", "http://127.0.0.1:1/v1/")
    with running("-c", WITHOUT_TORCH, "proxy", *options, "--port", 0) as proxy:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", proxy.address)
        told = "every other model: border 8 of 64\nStopped.\n"
        assert proxy.interrupted() == (0, told)


def test_an_upstream_that_is_down_is_told_to_both_sides_without_keys(prompt):
    options = ("--prompt", f"gpt-x={prompt[1]}", "--upstream", "http://127.0.0.1:1/v1")
    command = ("-m", "matboard", "proxy", *options, "--port", "0")
    with running(*command) as proxy:
        tool = openai.OpenAI(base_url=proxy.address, api_key=KEY, max_retries=0)
        for model in ("gpt-x", "gpt-y"):
            with pytest.raises(openai.InternalServerError, match="does not answer"):
                tool.chat.completions.create(model=model, messages=asked("x", "?"))
        code, said = proxy.interrupted()
    assert code == 0
    assert KEY not in said and said.count("http://127.0.0.1:1: ") == 2
    assert "gpt-x: border 8 of 64\nevery other model: no prompt\n" in said


def test_bad_wishes_are_answered_in_a_sentence(prompt, tmp_path):
    folder = str(prompt[1])
    there = ["--upstream", "http://127.0.0.1:1", "--port", "0"]
    for words, sentence in [
        (
            ["--prompt", folder, "--upstream", "there"],
            "The upstream is 'there'; expected",
        ),
        (
            ["--prompt", f"={folder}", *there],
            "expected MODEL=PROMPT, or a prompt alone",
        ),
        (["--prompt", "m=", *there], "expected MODEL=PROMPT, or a prompt alone"),
        (
            ["--prompt", folder, "--prompt", folder, *there],
            "Two prompts were given for all",
        ),
        (
            ["--prompt", f"m={folder}", "--prompt", f"m={folder}", *there],
            "Two prompts were given for the model 'm'; expected one.",
        ),
        (["--prompt", str(tmp_path), *there], "prompt_config.json"),
        (
            ["--prompt", folder, *there, "--host", "192.0.2.1"],
            "Nothing can be served at 192.0.2.1, port 0",
        ),
    ]:
        done = CliRunner().invoke(app, ["proxy", *words])
        assert done.exit_code != 0
        assert sentence in str(done.exception), done.exception


def test_a_path_that_holds_an_equals_sign_is_a_path(tmp_path):
    from matboard.cli.proxy import _parted

    (tmp_path / "a=b").mkdir()
    assert _parted(f"{tmp_path}/a=b") == ("", f"{tmp_path}/a=b")
    assert _parted(f"org/m:1={tmp_path}/a=b") == ("org/m:1", f"{tmp_path}/a=b")
