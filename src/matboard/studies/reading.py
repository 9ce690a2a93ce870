"""From a YAML file and ``key.sub=value`` words to checked settings; whatever is wrong is named in
full, with what was probably meant.
"""

from __future__ import annotations

import difflib
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from matboard.errors import ConfigError
from matboard.wording import brief, wrong

Model = TypeVar("Model", bound=BaseModel)

LARGEST_FILE = 1_000_000
"""Bytes of a configuration; a guess, a thousand times what people write."""
MOST_VALUES = 10_000
"""Values that a configuration may hold once its aliases are written out; a guess."""
DEEPEST = 40
"""Levels of nesting; a guess."""


class _Loader(yaml.SafeLoader):
    """YAML's plain values only, and each key once."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is no plain value", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands there twice", key_node.start_mark
            )
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_config(
    path: Path,
    words: Sequence[str],
    model: type[Model],
    defaults: Mapping[str, Any] | None = None,
) -> Model:
    """Read a YAML file and lay ``key.sub=value`` words over it.

    Args:
        defaults: what holds where neither says anything.

    Raises:
        ConfigError: the file is missing or no YAML mapping, a word has no ``=``, or a key or value
            is wrong; every wrong key is named in full.
    """
    raw = raw_config(path, words)
    return parse(model, {**(defaults or {}), **raw}, str(path))


def raw_config(path: Path, words: Sequence[str]) -> dict[str, Any]:
    """What a file and words over it hold, of whatever kind of study. Raises ConfigError."""
    raw = _parsed(_text(Path(path)), str(path))
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path} holds {type(raw).__name__}; expected keys and values, such as"
            " 'sources: [tiny-minigpt4]'."
        )
    for word in words:
        _lay(raw, word)
    return raw


def parse(
    model: type[Model], raw: Mapping[str, Any], origin: str, under: str = ""
) -> Model:
    """Check a mapping against a configuration class.

    Args:
        origin: where it comes from, for the error.
        under: the key that it stands under.

    Raises:
        ConfigError: names every wrong key and value in full.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [
            _explain(model, dict(one), under) for one in error.errors(include_url=False)
        ]
        said = "; ".join(lines)
        start = f"{origin}: " if origin else ""
        end = "" if said.endswith((".", "?")) else "."
        raise ConfigError(f"{start}{said}{end}") from error


def laid_over(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``overlay`` over it; mappings are merged, and ``a.b`` stands for ``a: {b: …}``.

    Raises:
        ConfigError: a key reaches below a value that has no keys.
    """
    merged = dict(base)
    for key, value in overlay.items():
        first, dot, rest = str(key).partition(".")
        before = merged.get(first)
        if not dot and not isinstance(value, Mapping):
            merged[first] = value
            continue
        if before is not None and not isinstance(before, Mapping):
            raise ConfigError(
                f"{key!r}: {first!r} holds {brief(before)}, which has no keys."
            )
        below = {rest: value} if dot else value
        merged[first] = laid_over(before or {}, below)
    return merged


# -- reading ---------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise ConfigError(
                f"The configuration {path} is no regular file; give a YAML file."
            )
        if kind.st_size > LARGEST_FILE:
            raise ConfigError(
                f"The configuration {path} has {kind.st_size} bytes; expected at most"
                f" {LARGEST_FILE}."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The configuration {path} cannot be read: {error}."
        ) from error


def _parsed(text: str, origin: str) -> Any:
    try:
        content = yaml.load(text, Loader=_Loader)
        _bounded(content, origin)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise ConfigError(f"{origin} is not valid YAML: {brief(error)}.") from error
    return content


def _bounded(content: Any, origin: str) -> None:
    """Refuse what aliases blow up, before anybody walks over all of it."""
    waiting = [(content, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > DEEPEST:
            raise ConfigError(
                f"{origin} holds more than {MOST_VALUES} values or is nested deeper than"
                f" {DEEPEST} levels; no study needs that."
            )
        if isinstance(value, dict):
            waiting += [(below, depth + 1) for below in value.values()]
        elif isinstance(value, list):
            waiting += [(below, depth + 1) for below in value]


def _lay(raw: dict[str, Any], word: str) -> None:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"{word!r} is no setting; expected key.sub=value, such as steps=100 or prompt.width=20."
        )
    *parents, last = key.split(".")
    place = raw
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise ConfigError(
                f"{word!r}: {parent!r} holds {brief(place)}, which has no keys below it."
            )
    try:
        place[last] = _parsed(value, repr(word))
    except ConfigError:
        raise ConfigError(
            f"{word!r} is no setting: {brief(value)} is not valid YAML."
        ) from None


# -- explaining ------------------------------------------------------------------------------------


def _explain(model: type[BaseModel], error: dict[str, Any], under: str) -> str:
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    path = ".".join([under, *parts] if under else parts)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = (
            f", did you mean {near[0]!r}?"
            if near
            else f"; known here: {', '.join(known)}"
        )
        return f"unknown key {path!r}{hint}"
    if error["type"] == "missing":
        return f"key {path!r} is missing"
    if error["type"] == "value_error":
        return f"{path}: {message}" if path else message
    return f"{path}: {wrong(error)}{_as_keys(model, error)}"


def _as_keys(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    """How a lone value is written where keys and values are expected."""
    value = error["input"]
    if error["type"] != "model_type" or not isinstance(value, str):
        return ""
    fields = _at(model, error["loc"]).model_fields
    needed = [name for name, field in fields.items() if field.is_required()]
    first = (needed or list(fields))[0]
    return f"; write {{{first}: {brief(value)[1:-1]}}}"


def _known(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys that are right at a place of the configuration."""
    return list(_at(model, location).model_fields)


def _at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """The class of the settings at a place of the configuration."""
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        below = [kind for kind in candidates if isinstance(kind, type)]
        model = next((kind for kind in below if issubclass(kind, BaseModel)), model)
    return model
