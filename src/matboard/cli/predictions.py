"""``matboard predictions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.completion import runs
from matboard.cli.console import drive, say
from matboard.extras import require


def predictions(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The run folder of fit, evaluate or demo, finished.",
            show_default=False,
            autocompletion=runs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the files. Default: predictions in the run folder.",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        bool,
        typer.Option("--csv", help="CSV, for spreadsheets, instead of JSON lines."),
    ] = False,
) -> None:
    """Write what models said, one file for each model, task and condition, one line a sample: id,
    question, answer, what was said, whether that is right, and every candidate's score.

    The scores are those that the run kept: nothing is judged anew. Choices,
    searches and streams have no such files, and say what to do instead.

    Example: [bold]matboard predictions runs/demo --csv[/bold]
    """
    require("torch")
    from matboard.studies.samples import FOLDER, write_predictions

    drive(write_predictions(run, out, as_csv=csv))
    say(f"predictions: {out or run / FOLDER}")
