"""``matboard search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import (
    Config,
    RunFolder,
    Words,
    drive,
    out,
    say,
    settings_and_folder,
    show_where,
)
from matboard.extras import require


def search(
    config: Config,
    words: Words = None,
    run: RunFolder = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many in all, over all workers.")
    ] = 30,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides which values are tried.")
    ] = 0,
    pruner: Annotated[
        str,
        typer.Option(
            help=(
                "When a trial is given up early: median (it lies below the median of the others at"
                " the same step), halving (it is not among the best quarter of its rung), none."
            )
        ),
    ] = "median",
    storage: Annotated[
        str | None,
        typer.Option(
            help=(
                "Where trials are kept, an SQLAlchemy URL; for workers on many machines"
                " postgresql+psycopg://user:password@host/database (pip install"
                " 'psycopg\\[binary]'). Default: trials.db in the run folder."
            ),
            show_default=False,
        ),
    ] = None,
) -> None:
    """Search for a method's settings, such as its learning rate and the weights of its losses.

    The file is a study like that of [bold]matboard fit[/bold], of one method, which says under
    search which keys are tried within which ranges:

    \b
      search:
        methods.tvp.lr: {low: 1, high: 100, log: true}
        prompt.width: {low: 10, high: 50, step: 10}
        methods.tvp.diversity: {values: \\[true, false]}

    A trial is learned with values that Optuna draws (TPE), and scored on training samples that are
    held out from it; the test part stays out of it. Trials that lie behind are given up.

    Give the same command again to go on with a search that was interrupted, to join it as another
    worker, or with more --trials to extend it. The best values end up in RUN/best.yaml, which
    [bold]matboard fit[/bold] takes as it stands.

    Example: [bold]matboard search study.yaml --trials 20 --out runs/tuned[/bold]
    """
    require("optuna")
    from matboard.studies.search.ranges import SearchConfig

    settings, folder = settings_and_folder(config, words, run, SearchConfig)
    from matboard.studies.search.searching import SearchOptions
    from matboard.studies.search.searching import search as study

    options = SearchOptions(trials=trials, seed=seed, pruner=pruner, storage=storage)
    drive(study(settings, folder, options))
    show_results(folder)


def show_results(folder: Path) -> None:
    """The table of trials, and what to do with the best."""
    from matboard.report import search_text
    from matboard.results import SearchResults, read

    results = read(folder)
    assert isinstance(results, SearchResults)
    out.print(search_text(results))
    best = results.best_trial
    say(f"best: trial {best.number}, validation score {best.score:.4f}")
    show_where(folder)
    say(f"learn with it: matboard fit {folder / results.config}")
