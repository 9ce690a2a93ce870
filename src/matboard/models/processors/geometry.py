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
    short, long = get(size, "shortest_edge"), get(size, "longest_edge")
    if short and long:
        tall, wide = get_size_with_aspect_ratio((height, width), short, long)
    elif short:
        tall, wide = (
            (short, int(short * width / height))
            if height <= width
            else (int(short * height / width), short)
        )
    elif get(size, "max_height") and get(size, "max_width"):
        tall, wide = get_image_size_for_max_height_width(
            (height, width), get(size, "max_height"), get(size, "max_width")
        )
    else:
        tall, wide = get(size, "height"), get(size, "width")
    return int(tall), int(wide)


def fit_inside(height: int, width: int, tall: int, wide: int) -> tuple[int, int]:
    """The largest size of the same proportions inside tall × wide."""
    down, right = tall / height, wide / width
    return (
        (min(math.ceil(height * right), tall), wide)
        if right < down
        else (tall, min(math.ceil(width * down), wide))
    )


def multiple(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """The nearest multiples of ``factor`` whose product lies in [least, most] pixels (Qwen2-VL's
    ``smart_resize``).
    """
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        return max(factor, int(height / shrink // factor) * factor), max(
            factor, int(width / shrink // factor) * factor
        )
    if tall * wide < least:
        grow = math.sqrt(least / (height * width))
        return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return tall, wide


def longest_edge(height: int, width: int, edge: int) -> tuple[int, int]:
    """The longer side becomes ``edge``, the other keeps the proportions and is made even (Idefics
    3); no side above 4096.
    """
    ratio = width / height
    tall, wide = (int(edge / ratio), edge) if width >= height else (edge, int(edge * ratio))
    tall, wide = (
        tall + (tall % 2 if width >= height else 0),
        wide + (wide % 2 if height > width else 0),
    )
    if max(tall, wide) > 4096:
        ratio = wide / tall
        tall, wide = (int(4096 / ratio), 4096) if wide >= tall else (4096, int(4096 * ratio))
    return max(tall, 1), max(wide, 1)


def whole_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """Both sides grown to multiples of ``tile``, the shorter one after the longer one (Idefics 3)."""
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
        height, width = int(most / ratio), most
    elif height > width and height > most:
        height, width = most, int(most * ratio)
    return max(height, least), max(width, least)


def whole_patches(
    height: int, width: int, most: tuple[int, int], patch: tuple[int, int]
) -> tuple[int, int]:
    """Shrunk in proportion into ``most`` where it is larger, then both sides rounded up to whole
    patches (Pixtral).
    """
    ratio = max(height / most[0], width / most[1], 1.0)
    tall, wide = (
        (math.floor(height / ratio), math.floor(width / ratio)) if ratio > 1 else (height, width)
    )
    return math.ceil(tall / patch[0]) * patch[0], math.ceil(wide / patch[1]) * patch[1]
