"""``matboard demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import drive, say, tell
from matboard.cli.continual import show_results as show_stream
from matboard.cli.fit import show_results


def demo(
    run: Annotated[
        Path, typer.Option("--out", help="The run folder: everything is written there.")
    ] = Path("runs/demo"),
) -> None:
    """Learn a border on one tiny model and see whether it helps five others; nothing is downloaded.

    First, borders: VP, EVP, TVP and our preset on tiny-minigpt4, judged on all six models of the
    tiny zoo beside baselines.

    Then, a stream of ten tasks on a tiny ViT: a prompt pool and a prompt generator beside
    fine-tuning and controls without prompts.
    """
    from matboard.studies.demo import continual_demo_config, demo_config
    from matboard.studies.prompts import study
    from matboard.studies.streams import continual

    tell(f"run folder: {run}")
    drive(study(demo_config(), run))
    show_results(run)
    from matboard.report import write_report

    say(f"report: {write_report(run)}")
    stream = run / "continual"
    drive(continual(continual_demo_config(), stream))
    show_stream(stream)
    say(f"report: {write_report(stream)}")
