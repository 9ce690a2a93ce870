"""What every page is made with: templates, numbers in words, pictures as data."""

from __future__ import annotations

import base64
import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from matboard.errors import MatboardError
from matboard.report.run_view import RunView

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
SUFFIXES = ("B", "kB", "MB", "GB", "TB")


def need_libraries() -> None:
    """Raise MatboardError where jinja2 or matplotlib is not installed."""
    try:
        for library in ("jinja2", "matplotlib"):
            import_module(library)
    except ImportError as error:
        raise MatboardError(
            f"A report needs {error.name}, which is not installed. Run: pip install"
            " 'matboard[learn]'."
        ) from error


def render_template(name: str, view: RunView, **values: Any) -> str:
    """A page as text: what every page says of its run, and ``values``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    jinja = Environment(
        loader=PackageLoader("matboard.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"fixed": fixed, "signed": signed, "duration": duration, "size": size}
    environment = json.dumps(view.environment, indent=1, ensure_ascii=False)
    return jinja.get_template(name).render(
        {"view": view, "environment": environment, "title": title(view)} | values
    )


def title(view: RunView) -> str:
    """The title that the configuration gives, else the folder's name."""
    try:
        config = yaml.safe_load(view.config or "")
    except yaml.YAMLError:
        config = None
    asked = config.get("title") if isinstance(config, dict) else None
    return str(asked or view.folder.resolve().name)


def data_uri(folder: Path, name: str) -> str | None:
    """A picture of the run as a data URI; None where there is none, or it lies outside the run
    folder.
    """
    path = (folder / name).resolve()
    kind = PICTURES.get(path.suffix.lower())
    if kind is None or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def command(view: RunView) -> str:
    """The command that made the run, as recorded; empty where none was."""
    recorded = view.environment.get("command")
    return shlex.join(map(str, recorded)) if isinstance(recorded, list) else str(recorded or "")


def fixed(value: float | None, digits: int = 3) -> str:
    """``0.612``, with a true minus; a dash where there is no number."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 3) -> str:
    """``+0.020`` or ``−0.020``, with a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """``2 min 05 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s"
        if whole < 3600
        else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def size(count: float) -> str:
    """Bytes as ``456 B``, ``12.3 kB``, ``1.2 GB``; a kilobyte has 1000."""
    power = 0
    while count >= 1000 and power < len(SUFFIXES) - 1:
        count, power = count / 1000, power + 1
    return (
        f"{count:.0f} {SUFFIXES[power]}"
        if power == 0 or count >= 100
        else f"{count:.1f} {SUFFIXES[power]}"
    )
