"""The model card of a saved prompt: front matter for the Hub, and what people want to know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from matboard.prompts.record import Score

UNKNOWN_LICENSE = "unknown"
"""The Hub's own word for a licence that nobody stated."""
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_USE = """```python
import matboard

prompted = matboard.load_prompt("this folder or Hub id").apply(picture)
```
"""
_SHOWN_APART = ("metrics", "scores")


def model_card(description: Mapping[str, Any]) -> str:
    """Markdown with the Hub's YAML front matter, how to use the prompt, what it scored, and how it
    was learned.

    Args:
        description: as `VisualPrompt.description` gives it; ``scores`` as `Score` dumps them;
            ``metrics``, where there are any, as name → value or name → mapping.
    """
    canvas = description["canvas"]
    scores = [Score.model_validate(score) for score in description.get("scores", ())]
    facts = {
        key: value for key, value in description.items() if key not in _SHOWN_APART
    }
    parts = [
        f"---\n{_front_matter(description, scores)}---\n\n# Visual prompt\n",
        f"{_origin(description)}\n",
        (
            f"![preview](preview.png)\n\nLayout {description['layout']} on a canvas of"
            f" {canvas['size']}×{canvas['size']} pixels, border width {canvas['width']}, value"
            f" range {description['range']}.\n"
        ),
        _USE,
        _scores(scores),
        _table("Measured", description.get("metrics", {})),
        _table("How it was made", facts),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(description: Mapping[str, Any], scores: Sequence[Score]) -> str:
    front: dict[str, Any] = {
        "library_name": "matboard",
        "license": _line(description.get("license") or UNKNOWN_LICENSE),
        "tags": ["visual-prompt"],
    }
    bases = [name for name in source_names(description) if _HUB_ID.fullmatch(name)]
    if bases:
        front["base_model"] = bases
    if description.get("task"):
        front["datasets"] = [_line(description["task"])]
    if scores:
        front["metrics"] = sorted({_line(score.metric) for score in scores})
        results = [_result(score) for score in scores]
        front["model-index"] = [{"name": "visual prompt", "results": results}]
    return str(yaml.safe_dump(front, sort_keys=False, allow_unicode=True))


def source_names(description: Mapping[str, Any]) -> list[str]:
    """The models that a prompt was learned on."""
    return [str(source["model"]) for source in description.get("sources", ())]


def _result(score: Score) -> dict[str, Any]:
    """A score in the Hub's form."""
    metric = {
        "type": _line(score.metric),
        "value": score.value,
        "name": _line(
            f"{score.metric} of {score.model} with the prompt, by {score.scorer}"
        ),
    }
    return {
        "task": {"type": "image-text-to-text"},
        "dataset": {"name": _line(score.task), "type": _line(score.task)},
        "metrics": [metric],
    }


def _origin(description: Mapping[str, Any]) -> str:
    """A sentence about how it was learned, with what the method went without."""
    method = description.get("method")
    if not method:
        return "Nothing is recorded about how it was learned."
    missing = description.get("skipped_terms", ())
    without = f" without {', '.join(missing)}" if missing else ""
    models = ", ".join(source_names(description)) or "models that are not recorded"
    task = description.get("task") or "a task that is not recorded"
    return _cell(f"Learned by {method}{without} on {models} for {task}.")


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    lines = [
        "## Scores\n",
        "In brackets the 95 % interval. Untouched: the same pictures without the prompt.\n",
        "| model | task | read by | n | untouched | with the prompt |",
        "|---|---|---|---|---|---|",
    ]
    for score in scores:
        model = f"{score.model} (learned on)" if score.learned_on else score.model
        cells = (
            model,
            score.task,
            score.scorer,
            score.n,
            _share(score.untouched),
            _value(score),
        )
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join([*lines, ""])


def _value(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.metric} {score.value:.3f} (too few for an interval)"
    return f"{score.metric} {score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def _cell(value: object) -> str:
    """One line of Markdown that nothing can leave; characters that mean something are escaped."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items())
    return re.sub(r"([|\[\]<>`])", r"\\\1", _line(value))


def _line(value: object) -> str:
    return " ".join(str(value).split())
