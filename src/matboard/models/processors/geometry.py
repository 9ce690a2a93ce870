"""The sizes that image processors give to pictures: whole numbers in, whole numbers out, height
before width.
"""

from __future__ import annotations

import math
from typing import Any

from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import get_image_size_for_max_height_width


def get(size: Any, key: str) -> Any:
    """A number of a processor's size, which is a dictionary or an object; None where it has none of
    that name.
    """
    return size.get(key) if isinstance(size, dict) else getattr(size, key, None)


def target(size: Any, height: int, width: int) -> tuple[int, int]:
    """Height and width after resizing, by the rule that the keys of ``size`` name."""
    short = get(size, "shortest_edge")
    long = get(size, "longest_edge")
    most = (get(size, "max_height"), get(size, "max_width"))
    if short and long:
        tall, wide = get_size_with_aspect_ratio((height, width), short, long)
    elif short:
        shorter = min(height, width)
        tall = short * height / shorter
        wide = short * width / shorter
    elif all(most):
        tall, wide = get_image_size_for_max_height_width((height, width), *most)
    else:
        tall = get(size, "height")
        wide = get(size, "width")
    return int(tall), int(wide)


def fit_inside(height: int, width: int, tall: int, wide: int) -> tuple[int, int]:
    """The largest size of the same proportions inside tall × wide."""
    down = tall / height
    right = wide / width
    if right < down:
        return min(math.ceil(height * right), tall), wide
    return tall, min(math.ceil(width * down), wide)


def multiple(
    height: int, width: int, factor: int, least: int, most: int
) -> tuple[int, int]:
    """The nearest multiples of ``factor`` whose product lies in [least, most] pixels (Qwen2-VL's
    ``smart_resize``).
    """
    tall = round(height / factor) * factor
    wide = round(width / factor) * factor
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall = int(height / shrink // factor) * factor
        wide = int(width / shrink // factor) * factor
        return max(factor, tall), max(factor, wide)
    if tall * wide < least:
        grow = math.sqrt(least / (height * width))
        tall = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return tall, wide


MOST = 4096
"""No side of Idefics 3's pictures is longer (transformers' ``MAX_IMAGE_SIZE``)."""


def longest_edge(height: int, width: int, edge: int) -> tuple[int, int]:
    """The longer side becomes ``edge``, the other keeps the proportions and is made even (Idefics
    3).
    """
    ratio = width / height
    if width >= height:
        wide = edge
        tall = int(edge / ratio)
        tall += tall % 2
    else:
        tall = edge
        wide = int(edge * ratio)
        wide += wide % 2
    if max(tall, wide) > MOST:
        ratio = wide / tall
        tall, wide = (
            (int(MOST / ratio), MOST) if wide >= tall else (MOST, int(MOST * ratio))
        )
    return max(tall, 1), max(wide, 1)


def whole_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """Both sides grown to multiples of ``tile``, the shorter after the longer one (Idefics 3)."""
    ratio = width / height
    if width >= height:
        wide = math.ceil(width / tile) * tile
        return math.ceil(int(wide / ratio) / tile) * tile, wide
    tall = math.ceil(height / tile) * tile
    return tall, math.ceil(int(tall * ratio) / tile) * tile


def between(height: int, width: int, least: int, most: int) -> tuple[int, int]:
    """The longer side cut to ``most`` in proportion, then each side raised to ``least`` on its own
    (Idefics 2).
    """
    ratio = width / height
    if width >= height and width > most:
        height = int(most / ratio)
        width = most
    elif height > width and height > most:
        height = most
        width = int(most * ratio)
    return max(height, least), max(width, least)


def whole_patches(
    height: int, width: int, most: tuple[int, int], patch: tuple[int, int]
) -> tuple[int, int]:
    """Shrunk in proportion into ``most`` where it is larger, then both sides rounded up to whole
    patches (Pixtral).
    """
    ratio = max(height / most[0], width / most[1])
    if ratio > 1:
        height = math.floor(height / ratio)
        width = math.floor(width / ratio)
    return math.ceil(height / patch[0]) * patch[0], math.ceil(width / patch[1]) * patch[
        1
    ]
