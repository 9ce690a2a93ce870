"""``matboard analyse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.completion import runs
from matboard.cli.console import drive, out, say
from matboard.extras import require


def analyse(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The run folder of fit, evaluate or demo; analysis.json is written into it.",
            show_default=False,
            autocompletion=runs,
        ),
    ],
    models: Annotated[
        str,
        typer.Option(
            help="Models of the study, separated by commas.",
            show_default="all",
        ),
    ] = "",
    methods: Annotated[
        str,
        typer.Option(
            help="Learned prompts of the study, as its table names them, separated by commas.",
            show_default="the first six",
        ),
    ] = "",
    task: Annotated[
        str | None,
        typer.Option(
            help="A task that the study was judged on.", show_default="the first"
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=3, help="Test pictures, at most.")] = 200,
    tap: Annotated[
        str,
        typer.Option(
            help=(
                "Where features are read: vision, the eye's output; qformer; or projector, what"
                " enters the language model."
            )
        ),
    ] = "vision",
) -> None:
    """Look into a study's models: t-SNE and drift of clean and prompted features, and where in a
    picture the answer's gradient lies. [bold]matboard report[/bold] draws it.

    Example: [bold]matboard analyse runs/demo --models tiny-minigpt4 --pictures 100[/bold]
    """
    require("torch")
    from matboard.report import analysis_text
    from matboard.results import AnalysisResults, read
    from matboard.studies.analyse.analysing import ANALYSIS, Wanted
    from matboard.studies.analyse.analysing import analyse as look

    wanted = Wanted(
        models=_split(models),
        methods=_split(methods),
        task=task,
        pictures=pictures,
        tap=tap,
    )
    drive(look(run, wanted))
    found = read(run / ANALYSIS)
    if isinstance(found, AnalysisResults):
        out.print(analysis_text(found))
    say(f"analysis: {run / ANALYSIS}\nsee it: matboard report {run}")


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]
