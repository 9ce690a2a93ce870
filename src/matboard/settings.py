"""What the environment says; it is read here and nowhere else, each time it is asked.

=================  ===========================================================================
MATBOARD_DATA      a folder with data sets, looked through before the Hub is asked
MATBOARD_CACHE     a folder for built models; default ``~/.cache/matboard``
HF_HUB_OFFLINE     1: no server is asked (TRANSFORMERS_OFFLINE says the same)
=================  ===========================================================================
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
