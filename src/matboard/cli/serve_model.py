"""``matboard serve-model``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from matboard.cli.completion import models
from matboard.cli.console import say, tell
from matboard.extras import require

Host: TypeAlias = Annotated[
    str, typer.Option(help="The address to serve at; by default only this machine.")
]
Port: TypeAlias = Annotated[
    int, typer.Option(min=0, max=65535, help="The port; 0 is any free one.")
]


def serve_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name (matboard list models), Hub id or folder.",
            show_default=False,
            autocompletion=models,
        ),
    ],
    host: Host = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Serve a model at this machine, by the protocol of OpenAI's chat completions: pictures as data
    URLs, streaming, log-probabilities. Answers are greedy, one question about one picture each.

    Example: [bold]matboard serve-model tiny-minigpt4[/bold], then [bold]matboard evaluate PROMPT
    --models openai:tiny-minigpt4@http://127.0.0.1:8000/v1 --tasks … --out …[/bold]
    """
    for library in ("torch", "fastapi", "uvicorn"):
        require(library)
    from transformers.utils import logging

    from matboard.serving.app import make_app
    from matboard.serving.wire import is_local, listen, origin, serve
    from matboard.zoo import load_model

    logging.disable_progress_bar()
    listening = listen(host, port)
    app = make_app(load_model(model))
    if not is_local(listening):
        tell(
            f"warning: whoever reaches {host} can use this server; it asks for no key."
        )
    try:
        address = f"openai:{model}@{origin(listening)}/v1"
        serve(app, listening, lambda: say(address))
    except KeyboardInterrupt:
        tell("Stopped.")
