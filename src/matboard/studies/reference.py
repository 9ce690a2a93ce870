"""Every key of a configuration: what it takes, its default and its meaning, made of the classes
that check configurations, so that it cannot say anything else than they do.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from matboard.continual.training import Training
from matboard.errors import UnknownName
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.transfer.validation import Validation

KINDS: dict[str, type[BaseModel]] = {
    "matboard fit": StudyConfig,
    "matboard continual": ContinualConfig,
}
"""Command → what its configuration is checked by."""
OPEN: dict[str, type] = {"validation": Validation, "training": Training}
"""Key → the options that may stand below it, where its class leaves them open."""
BOUNDLESS = 10**6
"""A bound from here on is there against mistakes, and nobody's business."""
ENTRY = re.compile(r"^ {4}((?:\w+)(?:, \w+)*): (.*)$")


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: in full, with dots; NAME stands for a name of the user's own.
        takes: in words.
        default: as YAML; empty where the key must be given.
        meaning: sentences for people.
    """

    name: str
    takes: str
    default: str
    meaning: str


def keys(kind: type[BaseModel]) -> list[Key]:
    """Every key of a kind of study, in its order, those below a key after it."""
    schema = kind.model_json_schema()
    return list(_keys(kind, schema, schema, ""))


def find(name: str) -> dict[str, list[Key]]:
    """Command → that key of its configuration and those below it.

    Raises:
        UnknownName: no study has such a key.
    """
    found = {}
    known: list[str] = []
    for command, kind in KINDS.items():
        every = keys(kind)
        known += [key.name for key in every]
        here = [
            key for key in every if key.name == name or key.name.startswith(f"{name}.")
        ]
        if here:
            found[command] = here
    if not found:
        raise UnknownName("key", name, dict.fromkeys(known))
    return found


def page() -> str:
    """All keys as a document in Markdown."""
    lines = [
        "# Configuration",
        "",
        "A study is a YAML file; on the command line `key.sub=value` words are laid over it. This"
        " page is written by `python docs/configuration.py`",
        "from the classes that check configurations; `matboard config KEY` says the same in a"
        " terminal, `matboard validate FILE` checks a file, and",
        "`matboard init FOLDER` writes one for a task. A variant under `methods` may have any key"
        " of learning of its own (`sources` to `diagnose_every`), nested or dotted.",
        "What each method and learner has of its own stands in `matboard list objectives` and"
        " `matboard list learners`.",
    ]
    for command, kind in KINDS.items():
        lines += ["", f"## `{command}`", "", "| key | takes | default | meaning |"]
        lines.append("|---|---|---|---|")
        for key in keys(kind):
            default = f"`{key.default}`" if key.default else "must be given"
            cells = [f"`{key.name}`", key.takes, default, _marked(key.meaning)]
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def meanings(kind: type) -> dict[str, str]:
    """Field → what the docstrings of a class and its bases say of it under ``Attributes``."""
    told: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        told |= _attributes(inspect.cleandoc(base.__dict__.get("__doc__") or ""))
    return told


def _attributes(text: str) -> dict[str, str]:
    _, _, section = text.partition("Attributes:\n")
    told: dict[str, str] = {}
    named: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if entry := ENTRY.match(line):
            named = entry[1].split(", ")
            told |= dict.fromkeys(named, entry[2].strip())
        elif line.strip():
            told |= {name: f"{told[name]} {line.strip()}" for name in named}
    return told


def _keys(
    kind: type[BaseModel],
    schema: Mapping[str, Any],
    root: Mapping[str, Any],
    above: str,
) -> Iterator[Key]:
    told = meanings(kind)
    required = schema.get("required", [])
    for name, field in kind.model_fields.items():
        said = schema["properties"][name]
        below = _model_in(field.annotation)
        nested = _resolved(said, root)
        default = (
            ""
            if name in required
            else _default(field.get_default(call_default_factory=True))
        )
        full = f"{above}{name}"
        yield Key(full, _takes(said, root), default, told.get(name, ""))
        if full in OPEN:
            yield from _options(OPEN[full], full)
        if below is not None:
            inner, way = _inner(nested, root)
            yield from _keys(below, inner, root, f"{full}.{way}")


def _options(kind: type, above: str) -> Iterator[Key]:
    """The keys of a dataclass of options."""
    schema = TypeAdapter(kind).json_schema()
    told = meanings(kind)
    for name, said in schema["properties"].items():
        if name != "seed":  # a study says its own
            default = json.dumps(said["default"])
            meaning = told.get(name, "")
            yield Key(f"{above}.{name}", _takes(said, schema), default, meaning)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The class of the settings below a key, where it has one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def _inner(
    schema: Mapping[str, Any], root: Mapping[str, Any]
) -> tuple[Mapping[str, Any], str]:
    """The schema of the settings below a key, and what stands between the two names."""
    if "items" in schema:
        return _resolved(schema["items"], root), "0."
    if "properties" in schema:
        return schema, ""
    return _resolved(schema["additionalProperties"], root), "NAME."


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    name = str(schema["$ref"]).rpartition("/")[2]
    found: Mapping[str, Any] = root["$defs"][name]
    return found


def _takes(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        either = [_takes(one, root) for one in schema["anyOf"]]
        return " or ".join(dict.fromkeys(either))
    if "enum" in schema:
        return " or ".join(str(one) for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of: {_takes(schema['items'], root)}"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
        "object": "keys and values",
    }
    return words.get(str(kind), "any value") + _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    told = []
    for bound, word in (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ):
        limit = schema.get(bound)
        if limit is not None and limit < BOUNDLESS:
            told.append(f"{word} {limit:g}")
    return f" ({', '.join(told)})" if told else ""


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "{}"
    return json.dumps(value)


def _marked(text: str) -> str:
    return text.replace("``", "`")
