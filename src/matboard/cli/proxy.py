"""``matboard proxy``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from matboard.cli.completion import prompts
from matboard.cli.console import PROMPT, say, tell
from matboard.cli.serve_model import Host, Port
from matboard.errors import ConfigError
from matboard.extras import require

if TYPE_CHECKING:
    from matboard.prompts.artifact import VisualPrompt
    from matboard.serving.pictures import Prompts


def proxy(
    prompt: Annotated[
        list[str],
        typer.Option(
            metavar="[MODEL=]PROMPT",
            help=(
                f"{PROMPT} With MODEL= in front it is for requests to that model alone; without it,"
                " for all others. Repeat it for several models."
            ),
            show_default=False,
            autocompletion=prompts,
        ),
    ],
    upstream: Annotated[
        str,
        typer.Option(
            help=(
                "The server that answers, such as https://api.openai.com/v1 or"
                " http://127.0.0.1:8000/v1."
            ),
            show_default=False,
        ),
    ],
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help=(
                "Fetch pictures that requests name by an address of the public internet, and prompt"
                " them. Without it the upstream fetches them itself, and they have no prompt."
            ),
        ),
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 8001,
) -> None:
    """Put a prompt on every picture on its way to an OpenAI-compatible server, so that tools work
    unchanged: give them the address that this command prints instead of the server's.

    Pictures of chat completions and responses are prompted; all else passes as it is, streams and
    keys among it. Keys are never logged. A picture that cannot be read passes as it is, and the
    reply's header matboard-warning says so; matboard-prompted counts the others.

    Example: [bold]matboard proxy --prompt runs/tvp_tiny/prompt --upstream
    https://api.openai.com/v1[/bold], then [bold]OPENAI_BASE_URL=http://127.0.0.1:8001/v1[/bold] in
    front of a tool; [bold]--prompt gpt-x=a/prompt --prompt gpt-y=b/prompt[/bold] for two models.
    """
    for library in ("starlette", "httpx2", "uvicorn"):
        require(library)
    from PIL.Image import DecompressionBombWarning

    from matboard.serving.fetching import Fetcher
    from matboard.serving.proxy import make_proxy
    from matboard.serving.wire import is_local, listen, origin, serve

    # such a picture is refused, in a sentence of ours
    warnings.filterwarnings("ignore", category=DecompressionBombWarning)
    chosen = _prompts(prompt)
    app = make_proxy(chosen, upstream, fetcher=Fetcher() if fetch else None)
    listening = listen(host, port)
    if not is_local(listening):
        tell(
            f"warning: whoever reaches {host} can use this proxy, and send it pictures; requests"
            " come to the upstream from this machine."
        )
    for name, one in [
        *chosen.by_model.items(),
        ("every other model", chosen.default),
    ]:
        tell(f"{name}: {one.geometry if one else 'no prompt'}")
    try:
        address = f"{origin(listening)}{urlsplit(upstream).path.rstrip('/')}"
        serve(app, listening, lambda: say(address), own_headers=False)
    except KeyboardInterrupt:
        tell("Stopped.")


def _prompts(given: list[str]) -> Prompts:
    """Prompts as the command line names them. Raises ConfigError, PromptError."""
    from matboard.prompts.artifact import load_prompt
    from matboard.serving.pictures import Prompts

    found: dict[str, VisualPrompt] = {}
    for one in given:
        model, place = _parted(one)
        if model in found:
            who = f"the model {model!r}" if model else "all models"
            raise ConfigError(
                f"Two prompts were given for {who}; expected one. Write --prompt MODEL=PROMPT for"
                " each model that has its own."
            )
        found[model] = load_prompt(place)
    default = found.pop("", None)
    for one in [*found.values(), *([default] if default else [])]:
        if "warning" in one.config:
            tell(f"warning: {one.config['warning']}")
    return Prompts(default, found)


def _parted(given: str) -> tuple[str, str]:
    """A model's name, "" for all others, and where its prompt is; an existing path is no pair."""
    model, equals, place = given.partition("=")
    if not equals or Path(given).exists():
        return "", given
    if not model or not place:
        raise ConfigError(
            f"--prompt is {given!r}; expected MODEL=PROMPT, or a prompt alone."
        )
    return model, place
