"""The file in which the authors of arXiv 2404.11207 publish a prompt, read without torch.

It is what ``torch.save({"perturbation": tensor})`` writes: a zip archive of stored (not compressed)
files, of which ``data.pkl`` says how the others make a tensor. Only what such a file needs is
understood, so nothing in it can run, and sizes are checked before anything is read.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matboard.disk import read_regular
from matboard.errors import PromptError

MOST_BYTES = 2**28
"""No prompt file is larger: float32 pixels of a canvas of 4,700 × 4,700."""
_MOST_PICKLED = 2**16
"""The authors' ``data.pkl`` has some 200 bytes."""
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2"}
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
    MemoryError,
    RecursionError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What Python's zip and pickle readers raise on damaged or hostile files."""


@dataclass(frozen=True)
class _Kind:
    """A class that the file names: how its values are stored."""

    name: str


@dataclass(frozen=True)
class _Stored:
    """Numbers in the archive."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class _Strided:
    """A tensor as the file describes it."""

    stored: _Stored
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_published(file: Path) -> NDArray[np.float32]:
    """The perturbation, ``3 size size``. Raises PromptError."""
    try:
        content = read_regular(file, MOST_BYTES)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive)
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        first = reason.splitlines()[0].rstrip(".")[:200]
        raise PromptError(
            f"{file} is not a file {{'perturbation': tensor}}: {first}. Expected what"
            " torch.save({'perturbation': values.float().contiguous()}, file) writes."
        ) from error


def _read(archive: zipfile.ZipFile) -> NDArray[np.float32]:
    root = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    pickled = _member(archive, root, _MOST_PICKLED)
    described = _Reader(pickled).load()
    if not isinstance(described, dict) or "perturbation" not in described:
        raise ValueError("it holds no 'perturbation'")
    tensor = described["perturbation"]
    if not isinstance(tensor, _Strided):
        raise ValueError("its 'perturbation' is no dense tensor")
    _check(tensor)
    numbers = _member(
        archive, root.removesuffix("data.pkl") + f"data/{tensor.stored.key}"
    )
    return _dense(tensor, numbers)


def _member(archive: zipfile.ZipFile, name: str, most: int = MOST_BYTES) -> bytes:
    found = archive.getinfo(name)
    if found.compress_type != zipfile.ZIP_STORED or found.file_size > most:
        raise ValueError(
            f"its {Path(name).name} is compressed, or larger than {most} bytes"
        )
    return archive.read(found)


def _check(tensor: _Strided) -> None:
    """Raise ValueError unless the tensor has a prompt's shape and covers each number once."""
    if tensor.stored.kind not in _STORAGES:
        known = ", ".join(_STORAGES)
        raise ValueError(
            f"its numbers are a {tensor.stored.kind}; expected one of {known}"
        )
    shape = tensor.shape
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or shape[1] < 1:
        raise ValueError(f"it has shape {shape}; expected (3, size, size)")
    dense = (shape[1] * shape[2], shape[2], 1)
    if tensor.strides != dense or tensor.offset < 0:
        raise ValueError(f"its strides are {tensor.strides}; expected {dense}")


def _dense(tensor: _Strided, numbers: bytes) -> NDArray[np.float32]:
    stored = np.frombuffer(numbers, _STORAGES[tensor.stored.kind])
    count = int(np.prod(tensor.shape, dtype=object))
    values = stored[tensor.offset : tensor.offset + count]
    if len(values) != count:
        raise ValueError(
            f"shape {tensor.shape} needs {count} numbers; it holds {len(values)}"
        )
    with np.errstate(
        over="ignore"
    ):  # what overflows is not finite, and refused as such
        return values.astype(np.float32).reshape(tensor.shape)


class _Reader(pickle.Unpickler):
    """Understands a dictionary of dense tensors, and refuses every other name."""

    def __init__(self, pickled: bytes) -> None:
        for code, argument, _ in pickletools.genops(pickled):
            # A place far outside would make the memo huge before any name is looked at.
            if (
                "PUT" in code.name
                and isinstance(argument, int)
                and argument > len(pickled)
            ):
                raise ValueError(
                    f"its data.pkl counts to {argument} in {len(pickled)} bytes"
                )
        super().__init__(io.BytesIO(pickled))

    def find_class(self, module: str, name: str) -> Callable[..., Any] | _Kind:
        """What a name of the file stands for."""
        if module == "torch" and name.endswith("Storage"):
            return _Kind(name)
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("collections", "OrderedDict"): dict,
        }
        if (module, name) not in known:
            raise ValueError(f"it asks for {module}.{name}, which no prompt needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Stored:
        """Numbers outside ``data.pkl``: their kind, place and count."""
        word, kind, key, _, count = pid
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise ValueError("it does not say where its numbers are")
        return _Stored(kind.name, key, int(count))


def _tensor(stored: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Strided:
    if not isinstance(stored, _Stored):
        raise ValueError("it does not say where its numbers are")
    return _Strided(
        stored, int(offset), tuple(map(int, shape)), tuple(map(int, strides))
    )


def _parameter(data: Any, *_: Any) -> Any:
    return data
