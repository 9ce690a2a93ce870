"""``matboard fit``."""

from __future__ import annotations

from pathlib import Path

from matboard.cli.console import (
    Config,
    RunFolder,
    Store,
    Words,
    drive,
    out,
    say,
    settings_and_folder,
    show_where,
)


def fit(
    config: Config, words: Words = None, run: RunFolder = None, store: Store = None
) -> None:
    """Learn prompts on one or several models, judge them on these and others, write a run folder.

    Give the same command again to go on with a run that was interrupted.

    Example: [bold]matboard fit experiments/tvp_tiny.yaml steps=100 prompt.width=20[/bold]
    """
    from matboard.studies.config import StudyConfig

    settings, folder = settings_and_folder(config, words, run, StudyConfig)
    from matboard.studies.prompts import study

    drive(study(settings, folder, store=store))
    show_results(folder)


def show_results(folder: Path) -> None:
    """How each fit ended and the transfer table of a finished run; nothing where another process
    is to finish it.
    """
    from matboard.report import transfer_table_text
    from matboard.report.run_folder import read_folder
    from matboard.results import TransferResults, read
    from matboard.runs import Run

    if not Run(folder).finished:
        return
    results = read(folder)
    if isinstance(results, TransferResults):
        for name, fit in read_folder(folder).outcomes.items():
            say(f"{name}: {fit.convergence}")
        out.print(transfer_table_text(results))
        for note in results.notes:
            say(f"note: {note}")
        show_where(folder)
