"""What every page is made with: templates, pictures and files as data."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from matboard.errors import MatboardError
from matboard.report import words
from matboard.report.rows import rows_json
from matboard.report.run_folder import RunFolder

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
NOT_PROSE = re.compile(r"(<(style|pre|svg|title)\b.*?</\2>|<[^>]*>)", re.DOTALL)
"""What of a page is no text between tags, or text that keeps its form."""
NUMBERED = re.compile(r"(?:\b\w+-)?\b\w+-\d[\w.]*")
"""A name that ends in a number, such as tiny-MiniGPT-4 and CIFAR-10."""


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
    page = jinja.get_template(name).render(common | values, title=title)
    return keep_names_whole(page)


def keep_names_whole(page: str) -> str:
    """The page with names that end in a number (tiny-MiniGPT-4) kept from breaking at hyphens."""
    parts = NOT_PROSE.split(page)
    for place in range(0, len(parts), 3):  # text, tag, the tag's name, text, …
        parts[place] = NUMBERED.sub(r'<span class="whole">\g<0></span>', parts[place])
    del parts[2::3]
    return "".join(parts)


def table_files(csv: str, rows: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """A table as files inside the page: name → data URI, for links that save them."""
    contents = {"table.csv": ("text/csv", csv)}
    contents["table.json"] = ("application/json", rows_json(rows))
    return {
        name: f"data:{kind};base64,{base64.b64encode(content.encode()).decode()}"
        for name, (kind, content) in contents.items()
    }


def data_uri(path: Path | None) -> str | None:
    """A picture as a data URI; None where there is none."""
    kind = PICTURES.get(path.suffix.lower()) if path is not None else None
    if path is None or kind is None or not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
