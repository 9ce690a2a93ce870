"""What models behind an API are called: ``openai:MODEL@URL``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from matboard.errors import ModelError, shown

PREFIX = "openai:"
OPENAI = "https://api.openai.com/"
OWN = f"{OPENAI}v1"
"""Where a model is that names no server."""
_NAME = re.compile(r"openai:(?:(?P<model>\S+?)@(?P<url>https?://\S+)|(?P<own>[^\s@]+))")


def is_endpoint(name: str) -> bool:
    """Whether a model's name is of one behind an API."""
    return name.startswith(PREFIX)


def parts_of(name: str) -> tuple[str, str]:
    """The model as its server calls it, and the server's address. Raises ModelError."""
    found = _NAME.fullmatch(name)
    url = (found["url"] if found else None) or OWN
    model = (found["model"] or found["own"]) if found else ""
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:  # a port that is none, half an IPv6 address
        usable = False
    if not model or not usable or not parts.hostname:
        raise ModelError(
            f"The model {shown(name)} has another form than openai:MODEL@URL, such as"
            " openai:my-model@http://127.0.0.1:8000/v1; without @URL it is OpenAI's own."
        )
    if parts.username is not None:
        raise ModelError(
            f"The address of {model!r} holds a user or password, which tables would show;"
            " leave it out and set MATBOARD_API_KEY."
        )
    return model, url.rstrip("/")
