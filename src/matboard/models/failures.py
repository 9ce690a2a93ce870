"""Why a call to a model behind an API was not answered, in words for people."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from matboard.errors import first_line
from matboard.models.replies import Failure

HOPELESS = (401, 402, 403, 404, 405)
"""What every other call would be answered too: no key, no money, no such model or address."""
AGAIN = (408, 409, 429)
"""Of those below 500, what may pass."""
SPENT = "insufficient_quota"
"""OpenAI's code for an account without credit; its status is that of a rate limit."""
LONGEST = 200
"""Characters of a server's words that are passed on."""


def failure_of(error: Any, timeout: float, tries: int) -> Failure:
    """What an error of OpenAI's client says.

    Args:
        timeout: seconds without any sign of the server, of each try.
    """
    import openai

    if isinstance(error, openai.APITimeoutError):
        waited = f"no sign of the server within {timeout:g} s"
        return Failure(f"{waited}, tried {tries} times")
    if not isinstance(error, openai.APIStatusError):
        said = first_line(error.__cause__ or error)
        return Failure(f"the connection failed ({said})")
    status = error.status_code
    said = " ".join(_said(error).split())[:LONGEST]
    refused = 400 <= status < 500 and status not in AGAIN
    hopeless = status in HOPELESS or error.code == SPENT
    return Failure(f"status {status}: {said}", refused, hopeless)


def misshapen(error: ValidationError) -> Failure:
    """A reply of another form, by the first thing that is wrong with it."""
    wrong = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, wrong["loc"]))
    what = f"{where}: {wrong['msg']}" if where else wrong["msg"]
    return Failure(f"its reply is no chat completion: {what}")


def _said(error: Any) -> str:
    """The server's own words, in OpenAI's form or any other."""
    told = error.body
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        told = told["error"]
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        return str(told["message"])
    return str(error.response.text) or "no words with it"
