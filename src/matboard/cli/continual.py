"""``matboard continual``."""

from __future__ import annotations

from pathlib import Path

from matboard.cli.console import Config, RunFolder, Words, cache_dir, data_dir, drive, out, settings_and_folder, show_where


def continual(config: Config, words: Words = None, run: RunFolder = None) -> None:
    """Run continual learners over a stream of tasks and compare them: accuracy, forgetting, which prompt serves which class.

    A run that was interrupted goes on at the task it was learning when the same command is given again.

    Example: [bold]matboard continual experiments/continual_scenes.yaml seeds=[0] training.epochs=2[/bold]
    """
    from matboard.workflows.config import ContinualConfig

    settings, folder = settings_and_folder(config, words, run, ContinualConfig)
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
        show_where(folder)
