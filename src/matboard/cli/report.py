"""``matboard report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.completion import runs
from matboard.cli.console import Csv, Json, one_form, print_rows, say


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The run folder of fit, evaluate, select, continual or demo.",
            show_default=False,
            autocompletion=runs,
        ),
    ],
    page: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The HTML file to write. Default: report.html in the run folder.",
            show_default=False,
        ),
    ] = None,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Write one self-contained HTML page about a run, finished or not; with --csv or --json print
    a finished run's table instead.
    """
    one_form(csv, json)
    if csv or json:
        print_rows(run, json=json)
        return
    from matboard.report import progress_words, write_report

    say(f"report: {write_report(run, page)}")
    if words := progress_words(run):
        say(words)
