"""``matboard continual``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import (
    Config,
    Csv,
    Device,
    Json,
    RunFolder,
    Store,
    Words,
    drive,
    one_form,
    out,
    print_rows,
    settings_and_folder,
    show_where,
)


def continual(
    config: Config,
    words: Words = None,
    run: RunFolder = None,
    store: Store = None,
    device: Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help=(
                "Of the backbone's weights: float32 or bfloat16. Default: as the configuration"
                " says."
            ),
            show_default=False,
        ),
    ] = None,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Teach learners one task after the other and compare what they keep: accuracy, forgetting,
    which prompt serves which class.

    Give the same command again to go on with a run that was interrupted, at the task it was
    learning.

    Example: [bold]matboard continual experiments/continual_scenes.yaml seeds=[0][/bold]
    """
    from matboard.studies.config import ContinualConfig

    one_form(csv, json)
    told = [f"backbone.precision={precision}"] if precision else []
    asked = [*(words or []), *told]
    settings, folder = settings_and_folder(config, asked, run, ContinualConfig)
    from matboard.studies.streams import continual as study

    drive(study(settings, folder, store=store, device=device))
    show_results(folder, csv=csv, json=json)


def show_results(folder: Path, *, csv: bool = False, json: bool = False) -> None:
    """The table of a finished run, or its rows alone."""
    from matboard.report import continual_table_text
    from matboard.results import StreamResults, read

    if csv or json:
        print_rows(folder, json=json)
        return
    results = read(folder)
    if isinstance(results, StreamResults):
        out.print(continual_table_text(results))
        show_where(folder)
