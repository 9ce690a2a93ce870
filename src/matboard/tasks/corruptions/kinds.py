"""The 15 corruptions: a picture, a severity's settings, and where randomness comes from → levels
from 0 to 255, ``height width 3``.

Random numbers are drawn in the order of the published code, so that with its seed the result is
its result.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from matboard.tasks.corruptions.filters import (
    correlated,
    disk,
    gaussian,
    motion_blurred,
    plasma,
    zoomed,
)
from matboard.tasks.corruptions.frost import frost_texture

Picture: TypeAlias = Image.Image
Random: TypeAlias = np.random.RandomState
Levels: TypeAlias = NDArray[Any]
GREY = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as OpenCV's RGB2GRAY has it."""


def _unit(picture: Picture) -> Levels:
    return np.asarray(picture) / 255.0


def _levels(x: Levels) -> Levels:
    return np.clip(x, 0, 1) * 255


def gaussian_noise(picture: Picture, sigma: float, rng: Random) -> Levels:
    """Electronic noise: the same everywhere."""
    x = _unit(picture)
    return _levels(x + rng.normal(size=x.shape, scale=sigma))


def shot_noise(picture: Picture, photons: float, rng: Random) -> Levels:
    """Poisson noise: so many photons at full brightness."""
    return _levels(rng.poisson(_unit(picture) * photons) / float(photons))


def impulse_noise(picture: Picture, amount: float, rng: Random) -> Levels:
    """Salt and pepper, in each channel by itself."""
    x = _unit(picture)
    flipped = rng.random_sample(x.shape) <= amount
    salted = rng.random_sample(x.shape) <= 0.5
    return _levels(np.where(flipped, salted, x))


def defocus_blur(picture: Picture, options: Any, rng: Random) -> Levels:
    """Out of focus: radius of the disk, and how its rim is smoothed."""
    return _levels(correlated(_unit(picture), disk(*options)))


def glass_blur(picture: Picture, options: Any, rng: Random) -> Levels:
    """Frosted glass: blurred, each pixel replaced by a near one, blurred again.

    The published code means to swap the two pixels, but its assignment of views copies one of them
    over the other; so does this.
    """
    sigma, reach, times = options
    x = (gaussian(_unit(picture), sigma) * 255).astype(np.uint8)
    height, width = x.shape[:2]
    source = list(range(height * width))
    for _ in range(times):
        rows = range(height - reach, reach, -1)
        columns = range(width - reach, reach, -1)
        moves = rng.randint(-reach, reach, size=(len(rows) * len(columns), 2))
        steps = iter((moves[:, 1] * width + moves[:, 0]).tolist())
        for row in rows:
            for place in range(row * width + columns[0], row * width + reach, -1):
                source[place] = source[place + next(steps)]
    moved = x.reshape(-1, 3)[source].reshape(x.shape)
    return _levels(gaussian(moved / 255.0, sigma))


def motion_blur(picture: Picture, options: Any, rng: Random) -> Levels:
    """The camera moved, in a direction within 45 degrees of the horizontal."""
    radius, sigma = options
    x = np.asarray(picture, dtype=np.float64)
    return motion_blurred(x, radius, sigma, rng.uniform(-45, 45))


def zoom_blur(picture: Picture, factors: Any, rng: Random) -> Levels:
    """The camera moved towards the object."""
    x = _unit(picture).astype(np.float32)
    total = np.zeros_like(x)
    for factor in factors:
        total += zoomed(x, factor)
    return _levels((x + total) / (len(factors) + 1))


def snow(picture: Picture, options: Any, rng: Random) -> Levels:
    """Flakes that fall in a random direction, and a picture whitened by them."""
    mean, spread, zoom, least, radius, sigma, kept = options
    x = np.asarray(picture, dtype=np.float32) / 255
    flakes = rng.normal(size=x.shape[:2], loc=mean, scale=spread)
    large = zoomed(flakes[..., None], zoom)[..., 0]
    large[large < least] = 0
    still = (np.clip(large, 0, 1) * 255).astype(np.uint8).astype(np.float64)
    fallen = motion_blurred(still, radius, sigma, rng.uniform(-135, -45))
    layer = fallen[..., None] / 255
    whitened = np.maximum(x, (x @ GREY)[..., None] * 1.5 + 0.5)
    x = kept * x + (1 - kept) * whitened
    return _levels(x + layer + np.rot90(layer, 2))


def frost(picture: Picture, options: Any, rng: Random) -> Levels:
    """Part of a picture of frost, laid over it."""
    kept, added = options
    x = np.asarray(picture, dtype=np.float64)
    texture = frost_texture(x.shape[0], x.shape[1], rng)
    return np.asarray(np.clip(kept * x + added * texture, 0, 255))


def fog(picture: Picture, options: Any, rng: Random) -> Levels:
    """A cloud, added to the picture."""
    amount, decay = options
    x = _unit(picture)
    brightest = x.max()
    cloud = plasma(x.shape[0], x.shape[1], decay, rng)[..., None]
    return _levels((x + amount * cloud) * brightest / (brightest + amount))


def brightness(picture: Picture, amount: float, rng: Random) -> Levels:
    """Value raised, hue and saturation kept (HSV)."""
    x = _unit(picture)
    value = x.max(axis=2, keepdims=True)
    raised = np.clip(value + amount, 0, 1)
    ratio = np.divide(raised, value, out=np.zeros_like(value), where=value > 0)
    return _levels(np.where(value > 0, x * ratio, raised))


def contrast(picture: Picture, kept: float, rng: Random) -> Levels:
    """Each channel drawn towards its mean."""
    x = _unit(picture)
    means = x.mean(axis=(0, 1), keepdims=True)
    return _levels((x - means) * kept + means)


def elastic_transform(picture: Picture, options: Any, rng: Random) -> Levels:
    """A random affine map, then every pixel moved by a smooth random field."""
    strength, sigma, spread = options
    x = _affine(np.asarray(picture, dtype=np.float32) / 255, spread, rng)
    height, width = x.shape[:2]
    fields = []
    for _ in "xy":
        drawn = rng.uniform(-1, 1, size=(height, width))
        fields.append(gaussian(drawn, sigma, mode="reflect", truncate=3) * strength)
    dx, dy = (field.astype(np.float32) for field in fields)
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return _levels(_sampled(x, rows + dy, columns + dx, "reflect"))


def _affine(x: Levels, spread: float, rng: Random) -> Levels:
    """The map that moves three corners of a square in the middle by up to ``spread`` pixels."""
    height, width = x.shape[:2]
    middle = np.array([width // 2, height // 2], np.float32)
    half = min(height, width) // 3
    corners = np.array(
        [middle + half, [middle[0] + half, middle[1] - half], middle - half], np.float32
    )
    moved = corners + rng.uniform(-spread, spread, size=(3, 2)).astype(np.float32)
    ones = np.ones((3, 1))
    # row vectors: [moved, 1] @ back = corners
    back = np.linalg.solve(np.hstack([moved, ones]).astype(np.float64), corners)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    places = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ back
    return _sampled(x, places[..., 1], places[..., 0], "mirror")


def _sampled(x: Levels, rows: Levels, columns: Levels, mode: str) -> Levels:
    """Each channel at those places, bilinearly."""
    channels = [
        ndimage.map_coordinates(x[..., channel], [rows, columns], order=1, mode=mode)
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def pixelate(picture: Picture, factor: float, rng: Random) -> Levels:
    """Shrunk, and enlarged again."""
    size = int(picture.width * factor), int(picture.height * factor)
    box = Image.Resampling.BOX
    return np.asarray(picture.resize(size, box).resize(picture.size, box))


def jpeg_compression(picture: Picture, quality: int, rng: Random) -> Levels:
    """Stored as JPEG of a low quality."""
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


FUNCTIONS: Mapping[str, Callable[[Picture, Any, Random], Levels]] = {
    function.__name__: function
    for function in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        defocus_blur,
        glass_blur,
        motion_blur,
        zoom_blur,
        snow,
        frost,
        fog,
        brightness,
        contrast,
        elastic_transform,
        pixelate,
        jpeg_compression,
    )
}
