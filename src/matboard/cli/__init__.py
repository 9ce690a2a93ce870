"""The command line: one file a subcommand; each parses, calls one study or function and prints.

Exit codes: 0 done, 2 bad input or configuration, 130 interrupted (run the same command again to go
on), 1 anything else.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from matboard import __version__
from matboard.cli.analyse import analyse
from matboard.cli.apply import apply
from matboard.cli.compare import compare
from matboard.cli.config import config, init, validate
from matboard.cli.console import fail
from matboard.cli.continual import continual
from matboard.cli.convert import convert
from matboard.cli.demo import demo
from matboard.cli.evaluate import evaluate
from matboard.cli.fit import fit
from matboard.cli.listing import list_names
from matboard.cli.predictions import predictions
from matboard.cli.proxy import proxy
from matboard.cli.push import push
from matboard.cli.report import report
from matboard.cli.search import search
from matboard.cli.select import select
from matboard.cli.serve_model import serve_model
from matboard.cli.work import work
from matboard.cli.zoo import zoo
from matboard.errors import MatboardError
from matboard.extras import needed

app = typer.Typer(
    name="matboard",
    help=(
        "Visual prompts: a border of pixels, learned once, that makes frozen vision-language models"
        " better at a task.\n\nStart with [bold]matboard demo[/bold]; then [bold]matboard"
        " fit[/bold] a prompt on one model, [bold]matboard evaluate[/bold] it on others,"
        " [bold]matboard select[/bold] what helps your own model,"
        " [bold]matboard apply[/bold] it to pictures. [bold]matboard continual[/bold] learns"
        " prompts through a stream of tasks. [bold]matboard work[/bold] joins a study that another"
        " terminal or machine began, [bold]matboard search[/bold] finds settings."
    ),
    epilog=(
        "Environment: MATBOARD_DATA is a folder with data sets, MATBOARD_CACHE a folder for built"
        " models (default ~/.cache/matboard). What is named by a Hub id obeys the Hub's own"
        " variables: HF_TOKEN opens private repositories, HF_HUB_OFFLINE=1 asks no server."
        " Models behind an API: MATBOARD_API_KEY (OPENAI_API_KEY for OpenAI's own),"
        " MATBOARD_API_CALLS and MATBOARD_API_TOKENS are the most that each of them may cost."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    fit,
    evaluate,
    select,
    search,
    apply,
    push,
    proxy,
    continual,
    analyse,
    work,
    report,
    compare,
    predictions,
    init,
    config,
    validate,
    convert,
):
    app.command()(command)
app.command("serve-model")(serve_model)
app.command("list")(list_names)
app.add_typer(zoo, name="zoo")


def _version(asked: bool | None) -> None:
    if asked:
        typer.echo(f"matboard {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = None,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``matboard`` command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with needed():
            app()
    except MatboardError as error:
        fail(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        fail("Interrupted.")
        sys.exit(130)
