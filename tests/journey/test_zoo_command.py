"""``matboard zoo``: what there is, and building it, also by several at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matboard import zoo
from matboard.cli.zoo import zoo as commands
from matboard.zoo import names

BUILD = """
import os, sys, time
from pathlib import Path
import torch
from matboard.zoo import mini

def part(name, cache, progress=None):
    raise AssertionError("no download in a test")

def eye(name, cache, progress):
    with (cache / "log").open("a") as lines:
        lines.write("prepared\\n")
    while len(list(cache.glob("started-*"))) < 4:  # so that all meet here
        time.sleep(0.1)
    time.sleep(1)
    return torch.nn.Conv2d(8, 8, 3)

mini.fetch, mini.load_eye = part, eye
cache = Path(sys.argv[1])
(cache / f"started-{os.getpid()}").touch()
for path in mini.build(["mini-bliva-cnn"], cache, print):
    print(path.name)
"""


def test_the_list_says_what_is_ready(tmp_path, monkeypatch):
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path))
    built = names.folder_of("mini-llava-cnn", tmp_path)
    built.mkdir(parents=True)
    (built / "config.json").touch()
    listed = CliRunner().invoke(commands, ["list"]).stdout
    states = {line.split()[0]: line[26:37].strip() for line in listed.splitlines()}
    assert states["tiny-blip2"] == "shipped"
    assert states["mini-guide"] == "to build"
    assert states["mini-llava-cnn"] == "built"
    known = {*names.TINY, *names.MINI, *names.GUIDES, *names.CLASSIFIERS}
    assert set(states) == known


def test_brackets_in_a_path_are_printed_as_they_are(monkeypatch):
    def build(asked, cache, progress):
        progress("ready in /cache/[/]/zoo")
        return [Path("/cache/[bold]/zoo")]

    monkeypatch.setattr(zoo, "build_mini", build)
    done = CliRunner().invoke(commands, ["build", "mini"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "/cache/[bold]/zoo\n"
    assert done.stderr == "ready in /cache/[/]/zoo\n"


@pytest.mark.slow
def test_several_that_build_at_once_all_succeed_and_prepare_once(tmp_path):
    """Four processes, each a fresh Python."""
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in running:
        said, _ = process.communicate()
        assert process.returncode == 0
        assert said.splitlines()[-1] == "mini-bliva-cnn"
    assert (tmp_path / "log").read_text() == "prepared\n"
    assert (tmp_path / "zoo" / "mini-bliva-cnn" / "config.json").exists()
