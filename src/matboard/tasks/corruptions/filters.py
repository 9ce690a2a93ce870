"""Blurs and textures that the corruptions share; arrays have two or three dimensions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

Floats = NDArray[np.floating]
MAP = 256
"""Least side of a fog's map; the published code has it for 224 pixels, and 32 for 32."""


def gaussian(
    x: Floats, sigma: float, mode: str = "nearest", truncate: float = 4.0
) -> Floats:
    """Each channel blurred; beyond the edge its pixels go on."""
    sigmas = (sigma, sigma, 0)[: x.ndim]
    blurred: Floats = ndimage.gaussian_filter(x, sigmas, mode=mode, truncate=truncate)
    return blurred


def disk(radius: float, smoothing: float) -> Floats:
    """A round kernel of sum 1, its rim smoothed by a Gaussian of sigma ``smoothing``."""
    reach = 8 if radius <= 8 else int(radius)
    taps = 1 if radius <= 8 else 2
    along = np.arange(-reach, reach + 1)
    inside = along[:, None] ** 2 + along[None, :] ** 2 <= radius**2
    kernel = inside / inside.sum()
    window = np.exp(-(np.arange(-taps, taps + 1.0) ** 2) / (2 * smoothing**2))
    window /= window.sum()
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, window, axis, mode="mirror")
    return np.asarray(kernel)


def correlated(x: Floats, kernel: Floats) -> Floats:
    """Each channel correlated with a kernel; beyond the edge the picture is mirrored without its
    outermost pixels.
    """
    reach = kernel.shape[0] // 2
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    turned = kernel[::-1, ::-1, None]
    return np.asarray(signal.fftconvolve(padded, turned, mode="valid", axes=(0, 1)))


def motion_blurred(x: Floats, radius: int, sigma: float, angle: float) -> Floats:
    """ImageMagick's ``MotionBlurImage`` on levels of 255: the mean over a path that begins at each
    pixel and goes on for ``2·radius + 1`` pixels under an angle (degrees), with the weights of half
    a Gaussian. It counts in 16 bits and cuts the lower 8 off.
    """
    height, width = x.shape[:2]
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    across = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(int)
    down = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(int)
    blurred = np.zeros(x.shape)
    for weight, dx, dy in zip(weights, across, down, strict=True):
        rows = np.clip(np.arange(height) + dy, 0, height - 1)
        columns = np.clip(np.arange(width) + dx, 0, width - 1)
        blurred += weight * x[rows][:, columns]
    return np.rint(blurred * 257) // 257


def zoomed(x: Floats, factor: float) -> Floats:
    """The middle of a picture ``height width channel``, enlarged to its size."""
    height, width = x.shape[:2]
    rows = _middle(height, math.ceil(height / factor))
    columns = _middle(width, math.ceil(width / factor))
    large = ndimage.zoom(x[rows, columns], (factor, factor, 1), order=1)
    return np.asarray(
        large[_middle(large.shape[0], height), _middle(large.shape[1], width)]
    )


def _middle(size: int, kept: int) -> slice:
    start = (size - kept) // 2
    return slice(start, start + kept)


def plasma(height: int, width: int, decay: float, rng: np.random.RandomState) -> Floats:
    """A cloud between 0 and 1: the diamond-square algorithm on a torus, its disturbance shrinking
    by ``decay`` as the grid halves.
    """
    least = MAP if min(height, width) > 32 else 32
    side = max(least, 1 << (max(height, width) - 1).bit_length())
    cloud = np.zeros((side, side))
    step = side
    wibble = 100.0
    while step >= 2:
        half = step // 2
        corners = cloud[::step, ::step]
        _disturb(cloud[half::step, half::step], _square(corners), wibble, rng)
        middles = cloud[half::step, half::step]
        above = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        _disturb(cloud[::step, half::step], above, wibble, rng)
        beside = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0)
        _disturb(cloud[half::step, ::step], beside, wibble, rng)
        step = half
        wibble /= decay
    cloud -= cloud.min()
    return np.asarray((cloud / cloud.max())[:height, :width])


def _square(corners: Floats) -> Floats:
    below = corners + np.roll(corners, -1, 0)
    return below + np.roll(below, -1, 1)


def _disturb(
    place: Floats, four: Floats, wibble: float, rng: np.random.RandomState
) -> None:
    """A quarter of the sum of four neighbours, and noise."""
    place[...] = four / 4 + wibble * rng.uniform(-wibble, wibble, four.shape)
