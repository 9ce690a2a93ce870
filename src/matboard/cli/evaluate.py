"""``matboard evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matboard.cli import completion
from matboard.cli.console import (
    PROMPT,
    Csv,
    Device,
    DeviceMap,
    InPrecision,
    Json,
    MaxCalls,
    MaxTokens,
    Quantise,
    TrustRemoteCode,
    drive,
    model_options,
    one_form,
)
from matboard.cli.fit import show_results


def evaluate(
    prompts: Annotated[
        list[str],
        typer.Argument(
            metavar="PROMPT",
            help=f"{PROMPT} Several are judged side by side.",
            show_default=False,
            autocompletion=completion.prompts,
        ),
    ],
    models: Annotated[
        str,
        typer.Option(
            help=(
                "Names (matboard list models), Hub ids, folders, or openai:MODEL@URL for one behind"
                " an API, separated by commas."
            ),
            show_default=False,
            autocompletion=completion.models,
        ),
    ],
    tasks: Annotated[
        str,
        typer.Option(
            help="Names (matboard list tasks), folders or JSONL files, separated by commas.",
            show_default=False,
            autocompletion=completion.tasks,
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The run folder: everything is written there.",
            show_default=False,
        ),
    ],
    test: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Use at most this many test samples of each task.",
            show_default="all",
        ),
    ] = None,
    scorers: Annotated[
        str,
        typer.Option(
            help=(
                "What counts as an answer: ranking, the likeliest candidate; generation, what the"
                " model writes; or ranking,generation."
            )
        ),
    ] = "ranking",
    device: Device = None,
    precision: InPrecision = None,
    quantise: Quantise = None,
    device_map: DeviceMap = None,
    trust_remote_code: TrustRemoteCode = False,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Pictures that a model gets at once.")
    ] = 32,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Judge prompts on models and tasks, beside the baselines that tell whether they help: no
    prompt, a black border, a random one.

    Several prompts stand in one table, each under the shortest end of its
    path that no other has; what they have in common is judged once, and below
    it stands one minus another, on the same samples. [bold]matboard compare[/bold]
    sets them side by side model by model.

    Example: [bold]matboard evaluate runs/demo/prompt --models tiny-blip2
    --tasks scenes-counting --out runs/judged[/bold]
    """
    one_form(csv, json)
    options = model_options(
        quantise=quantise,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        max_calls=max_calls,
        max_tokens=max_tokens,
    )
    from matboard.studies.evaluate import evaluate as judge

    drive(
        judge(
            prompts,
            _split(models),
            _split(tasks),
            run,
            test=test,
            scorers=_split(scorers),
            precision=precision,
            batch_size=batch_size,
            device=device,
            options=options,
        )
    )
    show_results(run, csv=csv, json=json)


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]
