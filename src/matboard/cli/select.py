"""``matboard select``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matboard.cli.completion import models, prompts_and_runs, tasks
from matboard.cli.console import (
    MaxCalls,
    MaxTokens,
    drive,
    model_options,
    out,
    say,
    tell,
)
from matboard.errors import ConfigError
from matboard.extras import require

if TYPE_CHECKING:
    from matboard.studies.progress import Progress


def select(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROMPT]...",
            help=(
                "What to choose from: prompts' folders, PNG files or Hub ids, and run folders,"
                " which stand for all their prompts. The shrunk picture and no prompt at all are"
                " always among them."
            ),
            show_default=False,
            autocompletion=prompts_and_runs,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=(
                "Whom the prompt is for: a name (matboard list models), Hub id, folder, or"
                " openai:MODEL@URL for one behind an API."
            ),
            show_default=False,
            autocompletion=models,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help=(
                "Labelled pictures: a name (matboard list tasks), folder or file. They are drawn"
                " from its test part."
            ),
            show_default=False,
            autocompletion=tasks,
        ),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Use at most so many labelled pictures.",
            show_default="60; of predictions all",
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            help="How often, at most, a prompt may be used that is no better than none."
        ),
    ] = 0.05,
    every_part: Annotated[
        bool,
        typer.Option(
            "--every-part",
            help="Draw from the task's training part too: where no prompt was learned from it.",
        ),
    ] = False,
    scorer: Annotated[
        str | None,
        typer.Option(
            help="What counts as an answer: ranking or generation.",
            show_default="ranking where model and task allow it",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pictures that the model gets at once.")
    ] = 32,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            help=(
                "Instead of --model: a file with what a model said, CSV or JSON lines with id,"
                " prompt (none: without any), and right (1 or 0) or answer."
            ),
            show_default=False,
        ),
    ] = None,
    pictures_out: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Instead of --model: write the pictures, prompted in every way, and manifest.jsonl"
                " there, for the owner of a model to bring back as --predictions."
            ),
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The run folder; the chosen prompt is copied to its folder prompt.",
            show_default="runs/select-<model or file>-<task>",
        ),
    ] = None,
) -> None:
    """Choose the prompt to use with a model, or none: a prompt is used only where labelled pictures
    show that it is better than no prompt.

    Example: [bold]matboard select runs/demo --model tiny-bliva --task
    scenes-recognition/noise[/bold]
    """
    from matboard.studies.choose.choice import Asked
    from matboard.studies.choose.stored import choose_stored, write_out

    given = list(prompts or [])
    _check(given, model, task, predictions, pictures_out)
    _check_limits(model, {"--max-calls": max_calls, "--max-tokens": max_tokens})
    asked = Asked(pictures, alpha, every_part=every_part)
    if pictures_out is not None:
        _work_off(write_out(given, str(task), pictures_out, asked))
        say(f"pictures and manifest.jsonl: {pictures_out}")
        return
    folder = run or _folder(model or Path((predictions or [Path()])[0]).stem, task)
    if predictions:
        _work_off(choose_stored(predictions, folder, asked, prompts=given, task=task))
    else:
        require("torch")
        from matboard.studies.choose.choosing import choose

        tell(f"run folder: {folder}")
        drive(
            choose(
                given,
                str(model),
                str(task),
                folder,
                asked,
                scorer=scorer,
                batch_size=batch_size,
                options=model_options(max_calls=max_calls, max_tokens=max_tokens),
            )
        )
    _show(folder)


def _work_off(events: Iterator[Progress]) -> None:
    """Without bars: it takes seconds, and works where torch is not installed."""
    for _ in events:
        pass


def _check(
    prompts: list[str],
    model: str | None,
    task: str | None,
    predictions: list[Path] | None,
    pictures_out: Path | None,
) -> None:
    """Refuse what does not go together. Raises ConfigError."""
    ways = [model is not None, bool(predictions), pictures_out is not None]
    if sum(ways) != 1:
        raise ConfigError(
            f"{sum(ways)} of --model, --predictions and --pictures-out were given; expected one:"
            " the model to ask, what it said, or where to write pictures for its owner."
        )
    if predictions:
        return
    if not prompts:
        raise ConfigError("No prompt was given; name at least one to choose from.")
    if task is None:
        raise ConfigError("No labelled pictures were given; name them with --task.")


def _check_limits(model: str | None, limits: Mapping[str, int | None]) -> None:
    """A limit of cost is for a model that is asked. Raises ConfigError."""
    given = [option for option, limit in limits.items() if limit is not None]
    if given and model is None:
        raise ConfigError(
            f"{' and '.join(given)} came, but no --model is asked anything; leave it out."
        )


def _folder(who: str, task: str | None) -> Path:
    names = ["select", Path(who.removeprefix("openai:").partition("@")[0]).name]
    if task:
        names += Path(task).with_suffix("").parts[-2:]
    return Path("runs") / "-".join(names)


def _show(folder: Path) -> None:
    """The decision of a finished run; nothing where another process is to finish it."""
    from matboard.report import choice_text
    from matboard.results import ChoiceResults, read
    from matboard.runs import Run

    if not Run(folder).finished:
        return
    results = read(folder)
    if isinstance(results, ChoiceResults):
        out.print(choice_text(results))
        for note in results.notes:
            say(f"note: {note}")
        if results.prompt is not None:
            say(f"prompt: {folder / results.prompt}")
        say(f"results: {folder / 'results.json'}")
