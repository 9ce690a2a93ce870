"""The folder that a prompt is saved in, written whole or not at all, and read with suspicion.

Four files: ``prompt_config.json`` (what it is and where it came from), ``prompt.safetensors`` (the
pixels), ``preview.png`` (how it looks) and ``README.md`` (a model card).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save

from matboard.disk import flush_folder, publish, read_regular
from matboard.errors import PromptError
from matboard.prompts import record
from matboard.prompts.published import MOST_BYTES

CONFIG = "prompt_config.json"
TENSOR = "prompt.safetensors"
PREVIEW = "preview.png"
CARD = "README.md"
FILES = (PREVIEW, CARD, TENSOR, CONFIG)
WHOLE = ".saved"
"""Folder of files that are complete but not all in their places yet; what lies there is newer than
what lies outside.
"""
_FLOATS = ("float16", "float32", "float64")


def write(
    folder: Path,
    description: Mapping[str, Any],
    values: NDArray[np.float32],
    preview: Image.Image,
    card: str,
) -> None:
    """Write the four files aside, declare them whole by one renaming, then move each to its place.

    Killed or without power at any moment, the folder loads as the old prompt or as the new one,
    whole. One process saves to a folder at a time. Raises PromptError.
    """
    kept = "what was there before is untouched"
    try:
        _finish(folder)  # a saving that was killed
        for left in folder.glob(".saving-*"):  # one that was killed earlier still
            shutil.rmtree(left, ignore_errors=True)
        flush_folder(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
            fresh = Path(name) / "files"
            _write_files(fresh, description, values, preview, card)
            publish(fresh, folder / WHOLE)
        kept = "the new prompt is whole, and loads"
        _finish(folder)
    except OSError as error:
        raise PromptError(
            f"{folder} cannot be written ({_reason(error)}); {kept}."
        ) from error


def _write_files(
    folder: Path,
    description: Mapping[str, Any],
    values: NDArray[np.float32],
    preview: Image.Image,
    card: str,
) -> None:
    tensor = save({"perturbation": values})
    config = {**description, "tensor_sha256": hashlib.sha256(tensor).hexdigest()}
    folder.mkdir()
    preview.save(folder / PREVIEW)
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / TENSOR).write_bytes(tensor)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _finish(folder: Path) -> None:
    """Move files that are whole to their places, the configuration last: where it lies in its
    place, so do the others.
    """
    whole = folder / WHOLE
    if whole.exists():
        for file in FILES:
            if (whole / file).exists():
                (whole / file).replace(folder / file)
        whole.rmdir()
        flush_folder(folder)


def read(folder: Path) -> tuple[dict[str, Any], NDArray[np.floating]]:
    """Description and pixels, each checked for itself. Raises PromptError."""
    _refuse_run(folder)
    description = _read_config(_newest(folder, CONFIG))
    content = _read_bytes(_newest(folder, TENSOR), MOST_BYTES)
    if description.pop("tensor_sha256", None) not in (
        None,
        hashlib.sha256(content).hexdigest(),
    ):
        raise PromptError(
            f"{folder / TENSOR} is not the tensor that {CONFIG} describes; one of the two was"
            " changed or damaged."
        )
    try:
        values = load(content)["perturbation"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise PromptError(
            f"{folder / TENSOR} is damaged or holds no tensor 'perturbation' ({reason})."
        ) from error
    if values.dtype.name not in _FLOATS:
        raise PromptError(
            f"{folder / TENSOR} holds values of type {values.dtype}; expected float32."
        )
    return description, values


def _refuse_run(folder: Path) -> None:
    """A run's folder holds prompts and is none. Raises PromptError, which names them."""
    if _newest(folder, CONFIG).exists() or not folder.is_dir():
        return
    within = [folder / "prompt", *sorted((folder / "prompts").glob("*"))]
    found = [str(place) for place in within if _newest(place, CONFIG).exists()]
    if found:
        others = f" (it also holds {', '.join(found[1:4])})" if found[1:] else ""
        more = ", …" if found[4:] else ""
        others = others.removesuffix(")") + f"{more})" if others else ""
        raise PromptError(
            f"{folder} is a run's folder; give the prompt that lies in it: {found[0]}{others}."
        )


def _read_config(file: Path) -> dict[str, Any]:
    content = _read_bytes(file, record.MOST_BYTES)
    try:
        return record.parse(content)
    except PromptError as error:
        raise PromptError(f"{file} {error}.") from error


def _newest(folder: Path, file: str) -> Path:
    """Where a file lies; a saving that was killed may not have moved it to its place."""
    whole = folder / WHOLE / file
    return whole if whole.exists() else folder / file


def _read_bytes(file: Path, most: int) -> bytes:
    try:
        return read_regular(file, most)
    except OSError as error:
        raise PromptError(
            f"{file} cannot be read ({_reason(error)}); a prompt's folder holds {CONFIG} and"
            f" {TENSOR}."
        ) from error


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
