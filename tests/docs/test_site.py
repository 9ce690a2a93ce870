"""The site of documents, built strictly: a link that leads nowhere ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

import matboard
from matboard.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir"]
    told = subprocess.run(
        [*command, str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return out


def test_every_written_page_is_in_it(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")}
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in written:
        assert (site / page).with_suffix(".html").is_file()
        assert page.with_suffix(".html").as_posix() in start, f"no way to {page}"


def test_every_command_and_every_public_name_has_its_place(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:
        assert f'id="matboard-{name}"' in commands
    names = (site / "reference.html").read_text(encoding="utf-8")
    for name, module in matboard.PUBLIC.items():
        assert f'id="{module}.{name}"' in names


def test_no_markup_of_the_terminal_is_left_in_it(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    assert "[bold]" not in commands and "\x08" not in commands
    assert "log: true" in commands  # an example whose brackets were escaped


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    for tag in ("<script src=", '<link rel="stylesheet" href=', "<img src="):
        for place in start.split(tag)[1:]:
            assert not place.lstrip('"').startswith(("http:", "https:", "//"))
