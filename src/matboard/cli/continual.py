"""``matboard continual``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import cache_dir, data_dir, drive, err, out


def continual(
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
    """Teach learners one task after the other and compare what they keep: accuracy, forgetting, which prompt serves which class.

    Give the same command again to go on with a run that was interrupted, at the task it was learning.

    Example: [bold]matboard continual experiments/continual_scenes.yaml seeds=[0] training.epochs=2[/bold]
    """
    from matboard.workflows.config import ContinualConfig, load_config

    settings = load_config(config, words or [], ContinualConfig)
    folder = run or Path("runs") / config.stem
    err.print(f"run folder: {folder}", highlight=False)
    from matboard.workflows.continual import continual as study

    drive(study(settings, folder, data_dir=data_dir(), cache=cache_dir()))
    show_results(folder)


def show_results(folder: Path) -> None:
    """The table of a finished run."""
    from matboard.report import continual_table_text
    from matboard.runs import Run

    run = Run(folder)
    if run.finished:
        out.print(continual_table_text(run.results()))
        out.print(f"results: {folder / 'results.json'}\nsee them: matboard report {folder}", highlight=False)
