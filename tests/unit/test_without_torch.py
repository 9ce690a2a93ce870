"""A user without torch is told what to install, in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = '''
import contextlib, io, json, sys

class Absent:
    """Finds none of what the extra "learn" installs."""

    names = {"torch", "transformers", "accelerate", "jaxtyping", "jinja2", "matplotlib", "sklearn"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from matboard.cli import main

def command(words):
    errors = io.StringIO()
    sys.argv = ["matboard", *words]
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            code = repr(error)
    return [code, errors.getvalue()]

def python(code):
    try:
        exec(code, {})
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["", ""]

asked = json.loads(sys.stdin.read())
said = {" ".join(words): command(words) for words in asked["commands"]}
said |= {code: python(code) for code in asked["python"]}
print(json.dumps(said))
'''
CONFIG = "sources: [tiny-minigpt4]\ntask: {name: scenes-counting}\nsteps: 1\n"
STREAM = """backbone: {model: tiny-vit}
task: {name: scenes-things}
learners: {means: {method: class-means}}
"""
PREDICTIONS = "id,prompt,right\n" + "".join(
    f"{number},none,0\n{number},a,1\n" for number in range(9)
)
COMMANDS = [
    ["demo", "--out", "run"],
    ["fit", "fit.yaml", "--out", "run"],
    ["continual", "stream.yaml", "--out", "run"],
    [
        "evaluate",
        "prompt",
        "--models",
        "tiny-blip2",
        "--tasks",
        "scenes-counting",
        "--out",
        "run",
    ],
    ["zoo", "build", "mini"],
    ["list", "learners"],
    ["list", "families"],
]
PYTHON = [
    "import matboard; matboard.load_model('tiny-blip2')",
    "import matboard; matboard.load_guide('tiny-guide')",
    "import matboard; matboard.load_backbone('tiny-vit')",
    "import matboard; matboard.fit",
    "from matboard import PixelPrompt",
    "from matboard import *",
]
FREE = [
    ["--help"],
    ["list", "models"],
    ["list", "tasks"],
    ["list", "metrics"],
    ["list", "prompts"],
    ["zoo", "list"],
    ["select", "--predictions", "said.csv", "--out", "choice"],
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without_torch")
    (folder / "fit.yaml").write_text(CONFIG)
    (folder / "stream.yaml").write_text(STREAM)
    (folder / "said.csv").write_text(PREDICTIONS)
    asked = {"commands": COMMANDS + FREE, "python": PYTHON}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    answers["files"] = sorted(path.name for path in folder.iterdir())
    return answers


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_says_what_to_install(said, words):
    code, text = said[" ".join(words)]
    assert code == 2, text
    assert text.count("\n") == 1
    assert text.startswith("error: This needs ")
    assert text.endswith("which is not installed; run: pip install 'matboard[learn]'\n")


@pytest.mark.parametrize("code", PYTHON)
def test_python_says_what_to_install(said, code):
    kind, text = said[code]
    assert kind == "MissingExtra"
    assert text.endswith("which is not installed; run: pip install 'matboard[learn]'")


@pytest.mark.parametrize("words", FREE, ids=" ".join)
def test_what_needs_no_torch_works_without_it(said, words):
    assert said[" ".join(words)] == [0, ""]


def test_only_what_works_leaves_something_behind(said):
    given = ["fit.yaml", "said.csv", "stream.yaml"]
    assert said["files"] == ["choice", *given]
