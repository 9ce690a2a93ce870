"""``matboard work``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.completion import runs
from matboard.cli.console import drive
from matboard.cli.continual import show_results as show_stream
from matboard.cli.fit import show_results as show_table
from matboard.extras import require


def work(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The run folder of a study that was begun, on a disk that all workers see.",
            show_default=False,
            autocompletion=runs,
        ),
    ],
) -> None:
    """Join a study: take fits and judging that nobody has taken yet, until all is finished.

    Begin the study once, with [bold]matboard fit CONFIG --out RUN[/bold] (or continual, or
    evaluate). Then start any number of workers, in other terminals or on other machines that see
    RUN under any path. They need nothing but RUN: it knows its configuration and its store. Each
    unit is done once, and the results are the same bits as from one process, where versions and
    the number of threads are the same (OMP_NUM_THREADS).

    Kill workers as you like: another one takes their work up at its last checkpoint, at once on
    the same machine, after a minute on others. A worker waits while all that is left is taken.
    Machines need different host names; relative paths in the configuration are looked for from
    where the worker is started.

    One worker for each GPU of a machine: [bold]CUDA_VISIBLE_DEVICES=1 matboard work runs/tvp[/bold]
    On SLURM: [bold]srun --ntasks 16 --gpus-per-task 1 matboard work runs/tvp[/bold]
    """
    require("torch")
    from matboard.studies.work import work as join

    drive(join(run))
    show_table(run)
    show_stream(run)
