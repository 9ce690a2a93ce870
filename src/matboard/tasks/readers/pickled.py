"""Pickled dictionaries of lists and byte arrays, as CIFAR's authors publish them, without running
what a pickle names.

Python's unpickler builds lists, dictionaries, texts and numbers; the three names that numpy's
arrays need stand for functions of ours, and every other name is refused. So nothing in a file can
run, and an array is made only of bytes that the file holds.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matboard.disk import read_regular
from matboard.errors import TaskError, first_line

MOST_BYTES = 2**29
"""CIFAR-100's training part, the largest such file, has 155 MB."""


class _Broken(Exception):
    """What is wrong with a file, as a clause."""


class _Array:
    """An array that waits for its content."""

    values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        """numpy's state of an array: version, shape, type, order, content."""
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Kind) or kind.name not in ("u1", "|u1"):
            raise _Broken("it holds an array of something else than bytes")
        if by_columns or not isinstance(content, bytes):
            raise _Broken("it holds an array whose rows do not lie one after the other")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _Kind:
    """A type of numbers."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name.decode("latin-1") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any) -> None:
        """Its byte order, which one byte does not have."""


def pickled_fields(path: Path) -> dict[str, Any]:
    """The dictionary in a file: its names as text, arrays of bytes as numpy arrays.

    Raises:
        TaskError: another thing, a damaged file, or one that names anything to be run.
    """
    try:
        content = read_regular(path, MOST_BYTES)
        _check_places(content)
        fields = _Reader(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(fields, dict):
            raise _Broken(f"it holds a {type(fields).__name__}, not a dictionary")
        return {_text(name): _plain(value) for name, value in fields.items()}
    except OSError:
        raise
    except (
        Exception
    ) as error:  # what the unpickler raises on a hostile file is no closed list
        raise TaskError(
            f"{path} is no pickled part of a data set: {first_line(error)}. Take it from its"
            " authors' archive again."
        ) from None


def _check_places(content: bytes) -> None:
    """Refuse places of the memo far outside, which would make it huge before any name is seen."""
    for code, argument, _ in pickletools.genops(content):
        too_far = isinstance(argument, int) and argument > len(content)
        if "PUT" in code.name and too_far:
            raise _Broken(f"it counts to {argument} in {len(content)} bytes")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What a name of the file stands for."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("multiarray", "_reconstruct"): _empty,
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Kind,
            ("_codecs", "encode"): _encoded,
        }
        asked = module.rpartition(".")[2], name
        if asked not in known:
            raise _Broken(
                f"it asks for {module}.{name}, which is not run: it may do anything"
            )
        return known[asked]

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside of the file."""
        raise _Broken("it names something outside of itself")


def _empty(*_: Any) -> _Array:
    return _Array()


def _encoded(text: Any, *_: Any) -> bytes:
    """How Python 3 writes bytes in the old form."""
    if isinstance(text, str):
        return text.encode("latin-1")
    raise _Broken("its bytes are no text")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.values
    return (
        [_text(v) if isinstance(v, bytes) else v for v in value]
        if isinstance(value, list)
        else value
    )
