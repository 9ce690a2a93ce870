"""What is said about a prompt beside its pixels: ``prompt_config.json``, and the scores in it.

What others read is a field with a type; anything else that a user wants to remember is kept as it
is, as long as JSON can carry it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matboard.errors import PromptError

SCHEMA_VERSION = 1
MOST_BYTES = 2**22
"""A description of our own has 2 kB; a thousand scores have 300 kB (measured)."""
_DEEPEST = 20
"""Levels of nesting; our own descriptions have three."""

_Text: TypeAlias = str | None
_Word: TypeAlias = Annotated[str, Field(max_length=40)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Score(BaseModel):
    """How a model did with the prompt.

    Attributes:
        value: in the metric's unit, [0, 1].
        low, high: its 95 % interval; None where there are too few samples for one.
        untouched: what the same model scores on the same pictures as they are.
        scorer: how answers were read, ``ranking`` or ``generation``.
        learned_on: whether the prompt was learned on this model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    model: str
    task: str
    n: int
    value: _Share
    low: _Share | None = None
    high: _Share | None = None
    untouched: _Share | None = None
    metric: str = "accuracy"
    scorer: str = "ranking"
    learned_on: bool = False


class _Source(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    model: str


class _Canvas(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = 224
    width: int = 30
    policy: _Word = "crop"


class _Patch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    side: int
    top: int = 0
    left: int = 0


class Described(BaseModel):
    """The fields of ``prompt_config.json`` that matboard reads.

    Attributes:
        sources: the models that it was learned on.
        skipped_terms: terms of the method's objective that it was learned without.
        license: under which it may be used, as the Hub abbreviates licences.
    """

    model_config = ConfigDict(extra="allow", strict=True)
    kind: Literal["pixel"] = "pixel"
    layout: _Word
    range: _Word
    canvas: _Canvas
    patch: _Patch | None = None
    tensor_sha256: _Text = None
    matboard_version: _Text = None
    sources: list[_Source] = Field(default=[])
    method: _Text = None
    skipped_terms: list[str] = Field(default=[])
    task: _Text = None
    seed: int | None = None
    level: float | None = Field(default=None, allow_inf_nan=False)
    resolution: int | None = None
    license: _Text = None
    metrics: dict[str, Any] = Field(default={})
    scores: list[Score] = Field(default=[])


def parse(content: bytes) -> dict[str, Any]:
    """The description that a file's content holds, known fields checked. Raises PromptError with a
    clause that says what is wrong.
    """
    try:
        found = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"is not JSON: {_brief(error)}") from error
    schema = found.get("schema_version") if isinstance(found, dict) else None
    if type(schema) is not int:
        raise PromptError("states no schema version; it does not describe a prompt")
    if schema > SCHEMA_VERSION:
        raise PromptError(
            f"has schema version {_brief(schema)}; this matboard reads up to {SCHEMA_VERSION}."
            " Upgrade matboard"
        )
    check_plain(found)
    try:
        Described.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PromptError(
            f"does not describe a pixel prompt ({where}: {_brief(first['msg'])})"
        ) from error
    return dict(found)


def check_plain(value: Any, where: str = "the description", depth: int = 0) -> None:
    """Raise PromptError unless JSON carries the value there and back, and people can read it."""
    if depth > _DEEPEST:
        raise PromptError(
            f"holds more than {_DEEPEST} levels of nesting in {where[:80]}"
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise PromptError(
                    f"has a key in {where} that is no text: {_brief(repr(key))}"
                )
            check_plain(key, f"a key of {where}", depth + 1)
            check_plain(inner, key, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_plain(inner, where, depth + 1)
    elif not _is_plain(value):
        raise PromptError(
            f"holds, as {_brief(where)!r}, {_brief(ascii(value))}; expected finite numbers, whole"
            " ones below 2⁶³, and text of whole characters"
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable() or not any(
            0xD800 <= ord(letter) < 0xE000 for letter in value
        )
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _brief(text: object) -> str:
    first = str(text).strip().split("\n", 1)[0].rstrip(".")
    return first if len(first) <= 160 else f"{first[:160]}…"
