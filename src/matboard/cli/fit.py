"""``matboard fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import cache_dir, data_dir, drive, err, out


def fit(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="What to do, in YAML; the repository's folder experiments/ holds examples.", show_default=False
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY.SUB=VALUE", help="Settings that replace those of the file.", show_default=False)
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder: everything is written there. Default: runs/<name of CONFIG>.", show_default=False),
    ] = None,
) -> None:
    """Learn prompts on one or several models, judge them on these and others, write a run folder.

    Give the same command again to go on with a run that was interrupted.

    Example: [bold]matboard fit experiments/tvp_tiny.yaml steps=100 prompt.width=20[/bold]
    """
    from matboard.workflows.config import StudyConfig, load_config

    settings = load_config(config, words or [], StudyConfig)
    folder = run or Path("runs") / config.stem
    err.print(f"run folder: {folder}", highlight=False)
    from matboard.workflows.study import study

    drive(study(settings, folder, data_dir=data_dir(), cache=cache_dir()))
    show_results(folder)


def show_results(folder: Path) -> None:
    """The transfer table of a finished run."""
    from matboard.report import transfer_table_text
    from matboard.runs import Run

    run = Run(folder)
    if run.finished:
        results = run.results()
        out.print(transfer_table_text(results))
        for note in results["notes"]:
            out.print(f"note: {note}", highlight=False, markup=False)
        out.print(f"results: {folder / 'results.json'}\nsee them: matboard report {folder}", highlight=False)
