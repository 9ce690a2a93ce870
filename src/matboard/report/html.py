"""What every page is made with: templates, pictures as data."""

from __future__ import annotations

import base64
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from matboard.errors import MatboardError
from matboard.report import words
from matboard.report.run_folder import RunFolder

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


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


def render_template(name: str, run: RunFolder, **values: Any) -> str:
    """A page as text: what every page says of its run, and ``values``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    jinja = Environment(
        loader=PackageLoader("matboard.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    in_words = {
        "fixed": words.fixed,
        "signed": words.signed,
        "percent": words.percent,
        "duration": words.duration,
        "size": words.size,
        "count": words.plural,
    }
    jinja.filters.update(in_words)
    jinja.globals.update(in_words)
    environment = json.dumps(run.environment, indent=1, ensure_ascii=False)
    common = {"run": run, "environment": environment}
    title = values.pop("title", None) or run.title
    return jinja.get_template(name).render(common | values, title=title)


def data_uri(path: Path | None) -> str | None:
    """A picture as a data URI; None where there is none."""
    kind = PICTURES.get(path.suffix.lower()) if path is not None else None
    if path is None or kind is None or not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
