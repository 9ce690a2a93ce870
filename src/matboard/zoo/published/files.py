"""Tensors out of files that nobody vouches for: read, never run.

A ``.pth`` is a pickle, and a pickle is a program. torch's restricted reader builds tensors,
numbers, text and containers of these, and refuses everything else before it is called.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from matboard.disk import read_regular, regular_size
from matboard.errors import HubError, ModelError, first_line, shown
from matboard.hub import fetch

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ImportError,
    MemoryError,
    OverflowError,
    RecursionError,
    RuntimeError,
    UnicodeError,
    struct.error,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch's reader raises on files that are damaged or not its own."""
_MOST_JSON = 2**26
"""An index of shards has some hundred kilobytes."""
_SAVED = (
    ("model.safetensors.index.json", "model.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
"""How transformers lays weights in a folder: an index of shards, or one file."""

Wish = Callable[[str], bool]
"""Whether a tensor of this name is wanted."""


def read(place: str, wish: Wish) -> dict[str, Tensor]:
    """Tensors of a checkpoint file, of a transformers folder or of the Hub's. Raises ModelError."""
    path = Path(place)
    if path.is_dir():
        return _folder(place, lambda names: path, wish)
    if path.exists() or path.suffix in (".pth", ".pt", ".bin"):
        return {name: t for name, t in checkpoint(path).items() if wish(name)}
    if place.count("/") == 1:
        return _folder(place, lambda names: _from_hub(place, names), wish)
    raise ModelError(
        f"There is no {place!r}; expected a checkpoint file (.pth), a folder that transformers"
        " saved, or a Hub id (owner/name)."
    )


def checkpoint(file: Path) -> dict[str, Tensor]:
    """The tensors of what ``torch.save`` wrote, or of its ``"model"``. Raises ModelError."""
    try:
        regular_size(file)
        options: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        kept = torch.load(file, mmap=zipfile.is_zipfile(file), **options)
    except IsADirectoryError:
        raise ModelError(
            f"{file} is a folder; expected the file that torch.save wrote."
        ) from None
    except FileNotFoundError:
        raise ModelError(f"There is no file {file}.") from None
    except _BROKEN as error:
        raise ModelError(_why_not(file, error)) from error
    if isinstance(kept, Mapping) and isinstance(kept.get("model"), Mapping):
        kept = kept["model"]
    if not isinstance(kept, Mapping) or not kept:
        raise ModelError(
            f"{file} holds {shown(type(kept).__name__)}; expected names and their tensors, or"
            " these under 'model'."
        )
    wrong = [name for name, t in kept.items() if not isinstance(t, Tensor)]
    if wrong:
        raise ModelError(
            f"{file} holds something else than tensors: {shown(wrong[0])} is"
            f" {shown(type(kept[wrong[0]]).__name__)}. Expected names and their tensors, or these"
            " under 'model'."
        )
    return {str(name): tensor for name, tensor in kept.items()}


def _why_not(file: Path, error: Exception) -> str:
    named = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and named:
        return (
            f"{file} is a pickle that asks for {named[1]}, which is code and no tensor. It was not"
            " run. Get the file from its authors, and do not open it otherwise."
        )
    reason = getattr(error, "strerror", None) or first_line(error)
    return (
        f"{file} cannot be read ({reason[:200]}): it is damaged, or torch.save did not write it."
        " Compare its size with what its authors state, and download it again."
    )


def _from_hub(repo: str, names: list[str]) -> Path:
    try:
        return fetch(repo, names)
    except HubError as error:
        raise ModelError(
            f"{repo!r} is no file or folder here, and the Hugging Face Hub did not give it:"
            f" {error}."
        ) from error


def _folder(
    place: str, having: Callable[[list[str]], Path], wish: Wish
) -> dict[str, Tensor]:
    """Tensors of a folder in transformers' layout; of shards, only those that hold wanted ones.

    Args:
        having: the folder, once it holds files of these names as far as there are any.
    """
    folder = having([index for index, _ in _SAVED])
    for index, single in _SAVED:
        shards = [single]
        if (folder / index).exists():
            shards = _shards(folder / index, wish)
        folder = having(shards)
        if all((folder / shard).exists() for shard in shards):
            found = [_weights(folder / shard, wish) for shard in shards]
            return {name: t for part in found for name, t in part.items()}
    raise ModelError(
        f"{place!r} holds no weights; expected model.safetensors or pytorch_model.bin, whole or in"
        " the shards that their index names."
    )


def _shards(index: Path, wish: Wish) -> list[str]:
    try:
        where = json.loads(read_regular(index, _MOST_JSON))["weight_map"]
        shards = {str(shard) for name, shard in where.items() if wish(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{index} is no index of shards ({first_line(error)}); download it again."
        ) from error
    if any(Path(shard).name != shard for shard in shards):
        raise ModelError(f"{index} names files outside its own folder. Do not use it.")
    return sorted(shards)


def _weights(file: Path, wish: Wish) -> dict[str, Tensor]:
    if file.suffix != ".safetensors":
        return {name: t for name, t in checkpoint(file).items() if wish(name)}
    try:
        with safe_open(file, "pt") as kept:
            return {name: kept.get_tensor(name) for name in kept.keys() if wish(name)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} cannot be read ({first_line(error)[:200]}): it is damaged. Download it again."
        ) from error
