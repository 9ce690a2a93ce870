"""Every block of the documents can be done as it stands: commands are parsed, those of tutorials
and how-tos carried out, in one folder a page, from top to bottom.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from matboard.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("docs/how-to/*.md")])
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *PAGES]
BLOCK = re.compile(
    r"^(?P<slow><!-- slow -->\n)?```(?P<kind>bash|python|yaml)"
    r'(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    flags=re.DOTALL | re.MULTILINE,
)
INDENTED = re.compile(r"^ {4}(matboard .*)$", flags=re.MULTILINE)
IN_TEXT = re.compile(r"`(matboard [^`]*)`")


@dataclass(frozen=True)
class Block:
    """A block of a page; a slow page has one that is marked so."""

    kind: str
    text: str
    title: str | None
    slow: bool

    @property
    def lines(self) -> list[str]:
        """Commands, one a line."""
        return [line for line in self.text.splitlines() if line.strip()]


def blocks(path: Path) -> list[Block]:
    found = BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [Block(m["kind"], m["text"], m["title"], bool(m["slow"])) for m in found]


def parse(line: str) -> None:
    """See that the command line takes a line. Raises what click raises."""
    command = typer.main.get_command(app)
    context = None
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    name = "matboard"
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        context = typer.Context(command, info_name=name, parent=context)
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name!r}: {line}"
        command = command.commands[name]
    if hasattr(command, "commands"):  # its own options act at once
        assert words[0] in [option for one in command.params for option in one.opts]
    else:
        command.make_context(name, words, parent=context)


def do(block: Block, names: dict[str, object]) -> None:
    """Carry a block out in the current folder."""
    if block.kind == "yaml":
        assert block.title, "a YAML block is a file and says which one"
        Path(block.title).write_text(block.text, encoding="utf-8")
    elif block.kind == "python":
        exec(compile(block.text, "a block", "exec"), names)
    else:
        for line in block.lines:
            run(line)


def run(line: str) -> None:
    """In this process where it is matboard's own, which has torch loaded already."""
    words = shlex.split(line)
    if words[0] != "matboard":
        subprocess.run(["bash", "-ec", line], check=True)
        return
    end = words.index(">") if ">" in words else len(words)
    done = CliRunner().invoke(app, words[1:end], prog_name="matboard")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"{line}\n{done.output}"
    for file in words[end + 1 :]:
        Path(file).write_text(done.stdout, encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_command_of_a_document_is_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [line for b in blocks(path) if b.kind == "bash" for line in b.lines]
    for line in [*lines, *INDENTED.findall(text)]:
        if line.startswith("matboard "):
            parse(line)
    commands = typer.main.get_command(app).commands
    for said in IN_TEXT.findall(text):
        word = said.split()[1]
        assert word.startswith("-") or word in commands, said


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_block_of_a_page_is_whole(path: Path) -> None:
    for block in blocks(path):
        if block.kind == "python":
            ast.parse(block.text)
        if block.kind == "yaml":
            assert block.title and isinstance(yaml.safe_load(block.text), dict)
    marked = path.read_text(encoding="utf-8").count("```") - 2 * len(blocks(path))
    assert marked == 0, "a block of a kind that no test knows"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=[pytest.mark.slow] if any(b.slow for b in blocks(path)) else [],
        )
        for path in PAGES
    ],
)
def test_a_page_can_be_done_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    names: dict[str, object] = {}
    for block in blocks(path):
        do(block, names)
