"""The model card of a saved prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def model_card(description: Mapping[str, Any]) -> str:
    """Markdown with the Hub's YAML front matter, how to use the prompt, how it was learned, and
    what it scored.

    Args:
        description: as `VisualPrompt.description` gives it; ``metrics``, where there are any, as
            name → value or name → mapping.
    """
    canvas, metrics = description["canvas"], description.get("metrics", {})
    front = yaml.safe_dump({"library_name": "matboard", "tags": ["visual-prompt"]}, sort_keys=False)
    facts = {key: value for key, value in description.items() if key != "metrics"}
    parts = [
        f"---\n{front}---\n\n# Visual prompt\n",
        (
            f"![preview](preview.png)\n\nLayout {description['layout']} on a canvas of"
            f" {canvas['size']}×{canvas['size']} pixels, border width {canvas['width']}, value"
            f" range {description['range']}.\n"
        ),
        (
            '```python\nimport matboard\n\nprompted = matboard.load_prompt("this folder or Hub'
            ' id").apply(picture)\n```\n'
        ),
        _table("Measured", metrics),
        _table("How it was made", facts),
    ]
    return "\n".join(part for part in parts if part)


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value).replace("|", "\\|").replace("\n", " ")
