"""What a shell completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matboard.cli import app


def completed(line: str) -> list[str]:
    """What bash is offered behind a line."""
    asked = {
        "_MATBOARD_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    told = CliRunner().invoke(app, [], env=asked, prog_name="matboard")
    return told.stdout.split()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch) -> None:
    """A finished study, one of its fits, and a prompt that came from elsewhere."""
    for file in (
        "runs/photos/config.yaml",
        "runs/photos/fits/evp-s0-1a2b/config.yaml",
        "runs/photos/prompt/prompt_config.json",
        "runs/photos/prompts/evp-s0/prompt_config.json",
        "runs/widths/config.yaml",
        "grey/prompt_config.json",
    ):
        place = tmp_path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("{}")
    monkeypatch.chdir(tmp_path)


def test_commands_and_what_they_list() -> None:
    assert {"fit", "evaluate", "continual"} <= set(completed("matboard "))
    assert completed("matboard list m") == ["models", "metrics"]


def test_keys_with_their_defaults() -> None:
    assert completed("matboard fit x.yaml prompt.w") == ["prompt.width=30"]
    assert "learners=" in completed("matboard continual x.yaml l")
    assert not any(
        word.startswith("learners") for word in completed("matboard fit x.yaml l")
    )
    assert completed("matboard config evaluate.sc") == ["evaluate.scorers"]


def test_names_of_models_behind_a_comma_too() -> None:
    asked = "matboard evaluate p --models tiny-blip2,tiny-bli"
    assert completed(asked) == ["tiny-blip2,tiny-bliva"]
    assert completed("matboard serve-model tiny-m") == ["tiny-minigpt4"]


def test_names_of_tasks() -> None:
    assert completed("matboard init cifar1") == ["cifar10", "cifar100"]


def test_run_folders_and_not_those_of_fits(folders) -> None:
    assert completed("matboard report ") == ["runs/photos", "runs/widths"]
    assert completed("matboard report runs/w") == ["runs/widths"]
    assert completed("matboard compare runs/photos runs/w") == ["runs/widths"]


def test_prompts_wherever_they_lie(folders) -> None:
    assert completed("matboard apply g") == ["grey"]
    assert completed("matboard apply runs/") == [
        "runs/photos/prompt",
        "runs/photos/prompts/evp-s0",
    ]
    assert completed("matboard select runs/p") == [
        "runs/photos",
        "runs/photos/prompt",
        "runs/photos/prompts/evp-s0",
    ]


def test_hidden_folders_links_and_depths_are_not_searched(folders) -> None:
    for place in (".cache", "a/b/c/d/e"):
        Path(place).mkdir(parents=True)
        (Path(place) / "config.yaml").touch()
    Path("loop").symlink_to(".")
    assert completed("matboard report ") == ["runs/photos", "runs/widths"]


def test_only_so_many_folders_are_looked_into(folders, monkeypatch) -> None:
    monkeypatch.setattr("matboard.cli.completion.MOST", 1)
    assert completed("matboard report ") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_itself_completes(folders, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "matboard"
    command.parent.mkdir()
    run = "from matboard.cli import app; app(prog_name='matboard')"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{run}" "$@"\n')
    command.chmod(0o755)
    script = """
eval "$(_MATBOARD_COMPLETE=source_bash matboard)"
COMP_WORDS=(matboard report runs/w) COMP_CWORD=2
_matboard_completion matboard
echo "${COMPREPLY[@]}"
"""
    told = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
    )
    assert told.stdout.strip() == "runs/widths", told.stderr
