"""What is wrong with a value, in the words of who wrote it rather than of the library that checked
it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a word or a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "none_required": "null",
}
"""Pydantic's type of an error → what was expected."""
BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""Pydantic's type of an error → what was expected, and which bound of its context it names."""
LONGEST = 80
"""Characters of a wrong value that a sentence repeats."""


def wrong(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a clause: what was expected, and what came.

    >>> wrong({"type": "int_parsing", "input": "many"})
    "expected a whole number, came 'many'"
    """
    came = brief(error["input"])
    return f"expected {_expected(error)}, came {came}"


def brief(value: Any) -> str:
    """A value as a sentence repeats it; an error's text on one line."""
    try:
        text = (
            repr(value)
            if not isinstance(value, Exception)
            else " ".join(str(value).split())
        )
    except (ValueError, RecursionError):  # a number of thousands of digits
        return type(value).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _expected(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    value = error["input"]
    if kind in BOUNDS:
        words, bound = BOUNDS[kind]
        limit = context[bound]
        return f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
    if kind == "literal_error":
        return str(context["expected"]) + _near(value, str(context["expected"]))
    if kind == "too_short":
        return f"at least {context['min_length']} of them"
    if kind in ("list_type", "tuple_type") and isinstance(value, str | int | float):
        return f"a list, such as [{value}]"
    return KINDS.get(kind) or _in_its_own_words(str(error["msg"]))


def _near(value: Any, expected: str) -> str:
    known = re.findall(r"'([^']*)'", expected)
    near = difflib.get_close_matches(str(value), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _in_its_own_words(message: str) -> str:
    """What pydantic says, as the object of "expected"."""
    return message.removeprefix("Input should be ").removeprefix("Value error, ")
