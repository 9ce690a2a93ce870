"""What the environment says; it is read here and nowhere else, each time it is asked.

===================  =========================================================================
MATBOARD_DATA        a folder with data sets, looked through before the Hub is asked
MATBOARD_CACHE       a folder for built models and for answers of models behind an API; default
                     ``~/.cache/matboard``
MATBOARD_API_KEY     the key of models behind an API; whoever serves them is sent it
OPENAI_API_KEY       the same, for OpenAI's own server alone
MATBOARD_API_CALLS   at most so many calls to each model behind an API; none: no limit
MATBOARD_API_TOKENS  at most so many tokens of each
WANDB_PROJECT        where studies are tracked in Weights & Biases; default ``matboard``
HF_HUB_OFFLINE       1: no server is asked (TRANSFORMERS_OFFLINE says the same)
===================  =========================================================================
"""

from __future__ import annotations

import os
from pathlib import Path

from matboard.errors import ConfigError

_TRUE = ("1", "on", "yes", "true")
_FALSE = ("", "0", "off", "no", "false")


def data_dir() -> Path | None:
    """Where local data sets lie; None where nothing is set. Raises ConfigError."""
    return _folder("MATBOARD_DATA")


def cache_dir() -> Path:
    """Where built models lie. Raises ConfigError."""
    asked = _folder("MATBOARD_CACHE")
    if asked is not None:
        return asked
    try:
        return Path.home() / ".cache" / "matboard"
    except RuntimeError:
        raise ConfigError(
            "This user has no home folder for built models; set MATBOARD_CACHE to a folder."
        ) from None


def offline() -> bool:
    """Whether no server may be asked. Raises ConfigError."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        value = os.environ.get(name, "")
        if value.lower() in _TRUE:
            return True
        if value.lower() not in _FALSE:
            raise ConfigError(
                f"{name} is {value!r}; expected 1 (ask no server) or 0. Set one of them, or unset"
                " it."
            )
    return False


def api_key(*, openai: bool) -> str | None:
    """The key of a model behind an API; None where none is set.

    Args:
        openai: whether it is OpenAI's own server, the only one that is sent OpenAI's key.
    """
    names = ("OPENAI_API_KEY", "MATBOARD_API_KEY") if openai else ("MATBOARD_API_KEY",)
    found = (os.environ.get(name, "").strip() for name in names)
    return next((key for key in found if key), None)


def api_calls() -> int | None:
    """At most so many calls to each model behind an API; None: any number. Raises ConfigError."""
    return _count("MATBOARD_API_CALLS")


def api_tokens() -> int | None:
    """At most so many tokens of each model behind an API; None: any number. Raises ConfigError."""
    return _count("MATBOARD_API_TOKENS")


def wandb_project() -> str:
    """Which project of Weights & Biases a study is tracked in."""
    return os.environ.get("WANDB_PROJECT", "").strip() or "matboard"


def _count(name: str) -> int | None:
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal():
        raise ConfigError(
            f"{name} is {value!r}; expected a whole number from 0 on, or nothing for no limit."
        )
    return int(value)


def _folder(name: str) -> Path | None:
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    try:
        folder = Path(value).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{name} is {value!r}, and there is no such home folder; write the path in full."
        ) from None
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{name} is {value!r}, which is a file; expected a folder.")
    return folder
