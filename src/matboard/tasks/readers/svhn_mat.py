"""The cropped digits of SVHN as their authors publish them: MATLAB files with ``X``, pictures as
``32 × 32 × 3 × n`` bytes, and ``y``, labels from 1 to 10, where 10 is the digit 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matboard.disk import regular_size
from matboard.errors import TaskError, first_line
from matboard.extras import needed
from matboard.tasks.records import Record, Records, Split

SHAPE = (32, 32, 3)
MOST_BYTES = 2**28
MOST_TIMES = 20
"""What pictures may take unpacked: `MOST_BYTES`, or so many times the file's size where that is
more. Photographs hardly pack.
"""


def svhn_records(root: Path) -> Records:
    """``train_32x32.mat`` and ``test_32x32.mat``. Raises TaskError."""
    found: list[Record] = []
    parts: dict[Split, str] = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
    for split, name in parts.items():
        if not (root / name).is_file():
            raise TaskError(
                f"{root} has no {name}; SVHN's authors publish train_32x32.mat and test_32x32.mat."
            )
        found += _digits(root / name, split)
    return Records(found)


def _digits(path: Path, split: Split) -> Iterator[Record]:
    pictures, labels = _arrays(path)
    for number, label in enumerate(labels.tolist()):
        where = f"{path.name}, picture {number}"
        if label != int(label) or not 1 <= label <= 10:
            raise TaskError(f"{where}: label {label} is none of 1 to 10.")
        yield Record(
            where=where,
            id=f"{split}/{number}",
            picture=f"{split}/{number}",
            load=partial(_picture, pictures, number),
            answer=str(int(label) % 10),
            split=split,
            file=path,
        )


def _arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """``X`` and ``y``; their shapes and types are looked at before they are unpacked."""
    with needed():
        from scipy.io import loadmat, whosmat
    try:
        most = max(MOST_BYTES, MOST_TIMES * regular_size(path))
        told = {name: (shape, kind) for name, shape, kind in whosmat(str(path))}
        shape, kind = told.get("X", ((), "missing"))
        wrong = shape[:-1] != SHAPE or kind != "uint8" or not 1 <= prod(shape) <= most
        if wrong or told.get("y", ((),))[0] not in ((shape[-1], 1), (1, shape[-1])):
            reason = f"it holds {told}"
        else:
            arrays = loadmat(str(path), variable_names=["X", "y"])
            return arrays["X"], arrays["y"].ravel()
    except OSError:
        raise
    except Exception as error:  # what scipy raises on a damaged file is no closed list
        reason = first_line(error)
    raise TaskError(
        f"{path} is not a file of SVHN's cropped digits: {reason}. Expected X, 32 × 32 × 3 × n"
        " bytes, and y, n labels."
    )


def _picture(pictures: NDArray[np.uint8], number: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pictures[..., number]))
