"""The pages that ``make docs`` makes of the program itself: every command, every public name."""

from __future__ import annotations

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

import matboard
from matboard.cli import app

BOLD = re.compile(r"\[bold\](.*?)\[/bold\]", flags=re.DOTALL)
WHOLE = re.compile(r"\x08\n((?:.+\n)+)")
"""A part of a command's help that is to stay as it is."""

LISTED = re.compile(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n")
"""Every command in half a sentence: the table of contents lists them."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs when it has found the written pages."""
    for name, text in (("commands.md", commands()), ("reference.md", reference())):
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Every command with its arguments and options."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="matboard", title="Commands"
    )
    text = WHOLE.sub(lambda found: f"```\n{found[1]}```\n", text)
    text = LISTED.sub("", text)
    text = BOLD.sub(lambda found: f"`{' '.join(found[1].split())}`", text)
    return text.replace("\\[", "[")


def reference() -> str:
    """The docstring of every public name."""
    head = "# Docstrings\n\n[Python](api.md) lists these names by what they are for."
    names = [f"::: {module}.{name}" for name, module in matboard.PUBLIC.items()]
    return "\n\n".join([head, *names]) + "\n"
