"""Pillow's resampling in torch, so that gradients pass through it.

Pillow resizes 8-bit pictures in two passes, along the rows and along the columns, and cuts each
pass's values off at black and white. A single pass over both, as `torch.nn.functional.interpolate`
makes, overshoots where Pillow does not: by up to 21 levels of 255 on a prompted canvas that is
enlarged by cubics. Here each pass is a matrix product with Pillow's own weights
(``src/libImaging/Resample.c``), cut off as Pillow's is; only its rounding to whole levels is left
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

Filter = Callable[[float], float]


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _triangle(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _hamming(x: float) -> float:
    x = abs(x)
    if x >= 1:
        return 0.0
    return _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x))


def _cubic(x: float) -> float:
    a = -0.5
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    if x < 2:
        return (((x - 5) * x + 8) * x - 4) * a
    return 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _sinc(x: float) -> float:
    if x == 0:
        return 1.0
    return math.sin(math.pi * x) / (math.pi * x)


FILTERS: dict[int, tuple[Filter, float]] = {
    int(Image.Resampling.BOX): (_box, 0.5),
    int(Image.Resampling.BILINEAR): (_triangle, 1.0),
    int(Image.Resampling.HAMMING): (_hamming, 1.0),
    int(Image.Resampling.BICUBIC): (_cubic, 2.0),
    int(Image.Resampling.LANCZOS): (_lanczos, 3.0),
}
"""Pillow's filters and how far each reaches, in pixels of the smaller picture."""


def resize(
    images: Float[Tensor, "batch 3 height width"],
    height: int,
    width: int,
    resampling: int,
) -> Float[Tensor, "batch 3 tall wide"]:
    """Resize as Pillow resizes 8-bit pictures, without its rounding; no value leaves [0, 1]."""
    sizes = (images.shape[-2], images.shape[-1], height, width)
    if _columns_first(*sizes, resampling):
        return _along_rows(
            _along_columns(images, height, resampling), width, resampling
        )
    return _along_columns(_along_rows(images, width, resampling), height, resampling)


def _along_rows(images: Tensor, width: int, resampling: int) -> Tensor:
    if images.shape[-1] == width:
        return images
    across = weights(images.shape[-1], width, resampling).to(images)
    return (images @ across.T).clamp(0, 1)


def _along_columns(images: Tensor, height: int, resampling: int) -> Tensor:
    if images.shape[-2] == height:
        return images
    down = weights(images.shape[-2], height, resampling).to(images)
    return (down @ images).clamp(0, 1)


@lru_cache(maxsize=64)
def weights(size: int, target: int, resampling: int) -> Float[Tensor, "target size"]:
    """What each pixel of a line of ``size`` gives to each of ``target`` pixels."""
    scale = size / target
    if resampling == Image.Resampling.NEAREST:
        places = list(accumulate([scale] * (target - 1), initial=scale * 0.5))
        return torch.eye(size)[[int(place) for place in places]]
    shape, reach = FILTERS[resampling]
    stretch = max(scale, 1.0)
    out = torch.zeros(target, size, dtype=torch.float64)
    for row in range(target):
        centre = (row + 0.5) * scale
        first = max(int(centre - reach * stretch + 0.5), 0)
        last = min(int(centre + reach * stretch + 0.5), size)
        taps = [shape((x - centre + 0.5) / stretch) for x in range(first, last)]
        out[row, first:last] = torch.tensor(taps, dtype=torch.float64) / sum(taps)
    return out.float()


OVERSHOOTING = (int(Image.Resampling.BICUBIC), int(Image.Resampling.LANCZOS))
"""Filters that leave [0, 1] at hard edges, so that the order of the passes matters."""


@lru_cache(maxsize=1024)
def _columns_first(
    height: int, width: int, tall: int, wide: int, resampling: int
) -> bool:
    """Whether Pillow begins with the columns.

    Its rule depends on its version (since 13 it may, where the height shrinks more than the width;
    before, never), so Pillow itself is asked: it resizes noise, which tells the orders apart.
    """
    if height == tall or width == wide or resampling not in OVERSHOOTING:
        return False
    noise = np.random.default_rng(0).integers(0, 2, (height, width), np.uint8) * 255
    pillow = Image.fromarray(noise).resize((wide, tall), Image.Resampling(resampling))
    expected = torch.from_numpy(np.array(pillow)).float() / 255
    line = torch.from_numpy(noise).float() / 255
    rows = _along_columns(_along_rows(line, wide, resampling), tall, resampling)
    columns = _along_rows(_along_columns(line, tall, resampling), wide, resampling)
    return bool((columns - expected).abs().max() < (rows - expected).abs().max())
