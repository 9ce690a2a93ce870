"""``matboard config`` and ``matboard validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.completion import keys_alone, tasks
from matboard.cli.console import Config, Words, say
from matboard.extras import require


def config(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]",
            help="A key, such as prompt or prompt.width. Without one all are listed.",
            show_default=False,
            autocompletion=keys_alone,
        ),
    ] = None,
) -> None:
    """Say what a configuration may hold: every key, what it takes, its default, its meaning.

    Example: [bold]matboard config prompt[/bold]
    """
    from matboard.studies.reference import KINDS, find, keys

    every = {command: keys(kind) for command, kind in KINDS.items()}
    for command, found in (every if key is None else find(key)).items():
        say(f"{command}:")
        for one in found:
            default = f", default {one.default}" if one.default else ", must be given"
            say(f"  {one.name}  {one.takes}{default}")
            if key is not None:
                say(f"      {one.meaning.replace('``', '')}")


def validate(file: Config, words: Words = None) -> None:
    """Check a configuration without running it: every key and value, and the names of methods and
    learners. Tasks and models are not looked for.

    Example: [bold]matboard validate experiments/tvp_tiny.yaml steps=100[/bold]
    """
    require("torch")
    from matboard.studies.summary import summary

    say(f"{file}: {summary(file, words or [])}")


def init(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="A folder or file with labelled pictures, or a name (matboard list tasks).",
            show_default=False,
            autocompletion=tasks,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="The YAML file to write; one that is there is kept."),
    ] = Path("study.yaml"),
) -> None:
    """Write a commented configuration for a task, to be edited and given to matboard fit.

    Example: [bold]matboard init my_photos/ --out photos.yaml[/bold]
    """
    from matboard.studies.first_config import write_first

    write_first(task, out)
    say(f"{out}\nlearn with it: matboard fit {out}")
