"""What every subcommand prints through: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import ctypes
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from matboard.cli import completion
from matboard.errors import ConfigError, RunError
from matboard.extras import require

if TYPE_CHECKING:
    from pydantic import BaseModel

    from matboard.studies.config import ModelConfig
    from matboard.studies.progress import Progress

    Settings = TypeVar("Settings", bound=BaseModel)

Config = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="What to do, in YAML; the repository's folder experiments/ holds examples.",
        show_default=False,
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY.SUB=VALUE",
        help="Settings that replace those of the file.",
        show_default=False,
        autocompletion=completion.words,
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The run folder: everything is written there. Default: runs/<name of CONFIG>.",
        show_default=False,
    ),
]

Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help=(
            "A folder where studies keep fits and scores for one another: what one has learned, the"
            " next finds. Default: the run folder."
        ),
        show_default=False,
    ),
]

Csv = Annotated[
    bool,
    typer.Option(
        "--csv",
        help="Print the table as CSV, nothing rounded, and nothing else on stdout.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the table as JSON, a list of rows, and nothing else on stdout.",
    ),
]

Device = Annotated[
    str | None,
    typer.Option(
        help="Where models run: cpu, cuda, cuda:1. Default: a GPU where there is one.",
        show_default=False,
    ),
]
InPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help=(
            "Of the models' weights: float32; bfloat16; or mixed, the eye in float32 and all else"
            " in bfloat16. Default: as the configuration says, else bfloat16 on a GPU, float32 on a"
            " CPU."
        ),
        show_default=False,
    ),
]
Quantise = Annotated[
    str | None,
    typer.Option(
        help="Weights of all vision-language models in 4bit or 8bit, by bitsandbytes.",
        show_default=False,
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        help="Lay models over several devices, by accelerate: auto, balanced, sequential.",
        show_default=False,
    ),
]
MaxCalls = Annotated[
    int | None,
    typer.Option(
        min=0,
        help=(
            "At most so many calls to each model behind an API, retries among them. Answers are"
            " kept: a higher limit goes on. Default: as MATBOARD_API_CALLS says."
        ),
        show_default=False,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=0,
        help=(
            "No call to a model behind an API once it has used so many tokens. Default: as"
            " MATBOARD_API_TOKENS says."
        ),
        show_default=False,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run code that comes with a model. Read it first."
    ),
]

out = Console()
err = Console(stderr=True)
PROMPT = (
    "A prompt's folder, a Hub id (owner/name), a PNG file like its preview.png, or a .pth file of"
    " TVP's authors."
)
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
PLAIN_INTERVAL = 10.0
"""Seconds between progress lines where there is no terminal; a guess at what a log can bear."""


def say(text: str) -> None:
    """A line of results on stdout, as it is: brackets in it are no markup."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    """A line about the work on stderr, as it is."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def fail(message: str) -> None:
    """One error sentence on stderr."""
    err.print(Text.assemble(("error", "bold red"), f": {message}"), soft_wrap=True)


def settings_and_folder(
    config: Path,
    words: list[str] | None,
    run: Path | None,
    kind: type[Settings],
    device: str | None = None,
) -> tuple[Settings, Path]:
    """What the command line asks for, and the run folder, which is shown. A study that does not
    name its precision has that of the device. Raises ConfigError.
    """
    from matboard.studies.reading import load_config

    require("torch")
    from matboard.studies.loading import defaults_of

    settings = load_config(config, words or [], kind, defaults_of(kind, device))
    folder = run or Path("runs") / config.stem
    tell(f"run folder: {folder}")
    return settings, folder


def model_options(**asked: object) -> ModelConfig | None:
    """What all models are loaded with; None where nothing is asked for. Raises ConfigError.

    Args:
        asked: keys of `ModelConfig`; None and False ask for nothing.
    """
    from matboard.studies.config import ModelConfig
    from matboard.studies.reading import parse

    given = {
        name: one for name, one in asked.items() if one is not None and one is not False
    }
    return parse(ModelConfig, given, "") if given else None


def one_form(csv: bool, json: bool) -> None:
    """Refuse both forms at once, before anything is done. Raises ConfigError."""
    if csv and json:
        raise ConfigError("--csv and --json were both given; a table has one form.")


def print_rows(folder: Path, *, json: bool) -> None:
    """A finished run's table for other programs, alone on stdout. Raises RunError where the run
    has none.
    """
    from matboard import report
    from matboard.results import (
        CostResults,
        SearchResults,
        StreamResults,
        TransferResults,
        read,
    )

    results = read(folder)
    if isinstance(results, SearchResults | CostResults):
        rows = report.view_rows(results)
        text = report.rows_csv(rows, list(rows[0]))
    elif isinstance(results, StreamResults):
        rows = report.continual_table_rows(results)
        text = report.continual_table_csv(results)
    elif isinstance(results, TransferResults):
        rows = report.transfer_table_rows(results)
        text = report.transfer_table_csv(results)
    else:
        raise RunError(
            f"{folder} holds a {results.kind}, which has no table; expected the run folder of fit,"
            " evaluate, continual, search or demo."
        )
    typer.echo(report.rows_json(rows) if json else text, nl=False)


def show_where(folder: Path) -> None:
    """Where a finished run's results lie and how to look at them."""
    say(f"results: {folder / 'results.json'}\nsee them: matboard report {folder}")


def drive(
    events: Iterator[Progress],
    resume_hint: str = "Run the same command again to go on where it stopped.",
) -> None:
    """Run a study to its end and show where it stands. Ctrl-C saves, says how to go on, and
    exits with 130.
    """
    quiet_transformers()
    _keep_freed_memory()
    try:
        _bars(events) if err.is_terminal else _lines(events)
    except KeyboardInterrupt:
        fail(f"Interrupted; everything so far is saved. {resume_hint}")
        raise typer.Exit(130) from None
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


def quiet_transformers() -> None:
    """Keep from users what transformers tells developers: bars for loading weights, which would
    tear ours, and what is deprecated. Its other warnings stay: missing weights are among them.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.get_logger()  # makes the handler
    for handler in logging.getLogger("transformers").handlers:
        if not any(isinstance(kept, _NotDeprecated) for kept in handler.filters):
            handler.addFilter(_NotDeprecated())
    for kind in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=kind)


class _NotDeprecated(logging.Filter):
    """Passes what is not about something deprecated."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`."""
        said = record.getMessage().lower()
        return "deprecat" not in said and "will be removed in" not in said


def _keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed, where it is the C library. It gives them back to
    the system at once, which must clear them anew for every step's canvases: a quarter of a tiny
    model's step (measured, see docs/log.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def _bars(events: Iterator[Progress]) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=err) as bars:
        stages = {}
        for event in events:
            if event.stage not in stages:
                stages[event.stage] = bars.add_task(
                    event.stage, total=event.total, detail=""
                )
            bars.update(stages[event.stage], completed=event.done, detail=event.detail)


def _lines(events: Iterator[Progress]) -> None:
    stage = ""
    shown = 0.0
    for event in events:
        now = time.monotonic()
        if (
            event.stage != stage
            or event.done == event.total
            or now - shown > PLAIN_INTERVAL
        ):
            tell(f"{event.stage}: {event.done}/{event.total} {event.detail}")
            stage = event.stage
            shown = now
