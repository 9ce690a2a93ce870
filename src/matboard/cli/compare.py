"""``matboard compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli import completion
from matboard.cli.console import Csv, Json, one_form, out, quiet_transformers
from matboard.extras import require


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help=(
                "Run folders of fit, evaluate or demo, or of continual, finished. The others are"
                " compared with the first."
            ),
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Set runs side by side, model by model and task by task, each difference with its interval.

    What a run learned is compared with what has the same name in the first
    run, and with everything that the first run learned where nothing has. Of
    one run alone, its prompts are compared with its first. Of streams,
    learners are compared.

    A difference is paired where both were judged on the same samples, known
    by their content, from the scores that the runs kept; on the samples that
    both have, where those are at least half; else it is unpaired, which takes
    more samples to show as much, and the table says so.

    Example: [bold]matboard compare runs/demo runs/longer[/bold]
    """
    one_form(csv, json)
    require("torch")
    from matboard import report
    from matboard.studies.compare.comparing import compare as compared

    quiet_transformers()
    found = compared(runs)
    if csv:
        typer.echo(report.comparison_csv(found), nl=False)
    elif json:
        typer.echo(report.rows_json(report.comparison_rows(found)), nl=False)
    else:
        out.print(report.comparison_text(found))
