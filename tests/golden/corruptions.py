"""Records what the package of ImageNet-C's authors makes of two pictures, for the test to compare.

Run with Python 3.11, in an environment of its own, with ImageMagick's libMagickWand:

    pip install --no-deps imagenet-c==0.0.3 imagecorruptions==1.1.2
    pip install "numpy<2" "scikit-image==0.22.*" "opencv-python-headless<5" wand "setuptools<70"
    python tests/golden/corruptions.py

The package is of 2018: what has been renamed in its libraries since is renamed here while it is
read. For 32 pixels its functions get the settings of ``make_cifar_c.py`` from the same authors,
which differs from it in nothing else. Its pictures of frost are in the other wheel.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = """gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur
zoom_blur snow frost fog brightness contrast elastic_transform pixelate jpeg_compression"""
STEPS = {32: 3, 224: 17}
"""Every so many pixels one is kept."""

CIFAR = {
    "gaussian_noise": "[0.04, 0.06, .08, .09, .10]",
    "shot_noise": "[500, 250, 100, 75, 50]",
    "impulse_noise": "[.01, .02, .03, .05, .07]",
    "glass_blur": "[(0.05,1,1), (0.25,1,1), (0.4,1,1), (0.25,1,2), (0.4,1,2)]",
    "defocus_blur": "[(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]",
    "motion_blur": "[(6,1), (6,1.5), (6,2), (8,2), (9,2.5)]",
    "zoom_blur": """[np.arange(1, 1.06, 0.01), np.arange(1, 1.11, 0.01),
        np.arange(1, 1.16, 0.01), np.arange(1, 1.21, 0.01), np.arange(1, 1.26, 0.01)]""",
    "fog": "[(.2,3), (.5,3), (0.75,2.5), (1,2), (1.5,1.75)]",
    "frost": "[(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)]",
    "snow": """[(0.1,0.2,1,0.6,8,3,0.95), (0.1,0.2,1,0.5,10,4,0.9),
        (0.15,0.3,1.75,0.55,10,4,0.9), (0.25,0.3,2.25,0.6,12,6,0.85),
        (0.3,0.3,1.25,0.65,14,12,0.8)]""",
    "contrast": "[.75, .5, .4, .3, 0.15]",
    "brightness": "[.05, .1, .15, .2, .3]",
    "jpeg_compression": "[80, 65, 58, 50, 40]",
    "pixelate": "[0.95, 0.9, 0.85, 0.75, 0.65]",
    "elastic_transform": """[(0, 0, 32*0.08), (32*0.05, 32*0.2, 32*0.07),
        (32*0.08, 32*0.06, 32*0.06), (32*0.1, 32*0.04, 32*0.05), (32*0.1, 32*0.03, 32*0.03)]""",
}


def picture(size: int) -> Image.Image:
    """Waves of colour, and a few hard edges."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    x, y = columns / size, rows / size
    channels = [
        128 + 100 * np.sin(7 * x + 3 * y),
        120 + 110 * np.cos(4 * x * y + 5 * y),
        110 + 90 * np.sin(9 * (x - y) ** 2),
    ]
    levels = np.stack(channels, axis=-1)
    levels[size // 8 : size // 3, size // 4 : size // 2] = (250, 240, 20)
    levels[size // 2 : size // 2 + size // 16] = (10, 0, 60)
    return Image.fromarray(levels.astype(np.uint8))


def seed(size: int, kind: str, severity: int) -> int:
    return size * 1000 + 10 * KINDS.split().index(kind) + severity


def kept(levels: np.ndarray, size: int) -> np.ndarray:
    step = STEPS[size]
    return levels[step // 2 :: step, step // 2 :: step]


class _OfTheSeed:
    """scikit-image asks for a fresh generator, which no seed reaches; this one hears it."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        return np.random.random_sample(size)


def _functions(size: int) -> dict:
    import importlib.util

    def place(package: str) -> Path:
        return Path(importlib.util.find_spec(package).submodule_search_locations[0])

    text = (place("imagenet_c") / "corruptions.py").read_text()
    text = text.replace("multichannel=True", "channel_axis=-1")
    text = text.replace("scipy.ndimage.interpolation", "scipy.ndimage")
    frosts = place("imagecorruptions") / "frost"
    text = re.sub(
        r"resource_filename\(__name__, 'frost/(\S+)'\)", rf"'{frosts}/\1'", text
    )
    text = text.replace("from pkg_resources import resource_filename", "")
    if size == 32:
        text = text.replace("224", "32").replace("mapsize=256", "mapsize=32")
        text = text.replace(
            "frost = cv2.imread(filename)",
            "frost = cv2.resize(cv2.imread(filename), (0, 0), fx=0.2, fy=0.2)",
        )
        for kind, settings in CIFAR.items():
            start = rf"\ndef {kind}\(\w+, severity=1\):\n(?:    #[^\n]*\n)?    c = "
            pattern = rf"({start})\[.*?\](\[severity - 1\])"
            text, times = re.subn(
                pattern, lambda m, s=settings: m[1] + s + m[2], text, flags=re.DOTALL
            )
            assert times == 1, kind
    found: dict = {"__name__": "imagenet_c.corruptions"}
    exec(compile(text, "corruptions.py", "exec"), found)
    return found


def main() -> None:
    np.random.default_rng = lambda *_: _OfTheSeed()
    arrays = {}
    for size in STEPS:
        functions = _functions(size)
        for kind in KINDS.split():
            for severity in range(1, 6):
                np.random.seed(seed(size, kind, severity))
                levels = np.uint8(functions[kind](picture(size), severity))
                arrays[f"{kind}-{severity}-{size}"] = kept(np.asarray(levels), size)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
