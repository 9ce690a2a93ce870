"""Corrupted pictures: the 15 kinds of ImageNet-C and CIFAR-10-C, each in five severities
(Hendrycks & Dietterich, arXiv 1903.12261).

A corrupted task is a condition of any other: ``cifar10/gaussian_noise-3``. Its test part is
corrupted, its training part is not: the benchmark asks how what was learned on clean pictures
stands up.

Kinds are those of the paper's code with the settings that it publishes for 224 pixels (ImageNet-C)
and for 32 (CIFAR-10-C), tested against its authors' package ``imagenet_c``. What differs here:

* A picture is corrupted where it is needed, with randomness from its own pixels, so it looks the
  same in every run and for every question about it. ImageNet-C's published files were drawn once,
  and then stored as JPEG of quality 85, which is left out.
* A picture whose shorter side has less than 64 pixels gets CIFAR-10-C's settings at its own size.
  Any other is first brought to a shorter side of 224 and gets ImageNet-C's. Nothing is cut off:
  what a question asks about may stand at the edge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from matboard.errors import TaskError, UnknownName
from matboard.extras import needed
from matboard.tasks.corruptions.settings import CIFAR, IMAGENET
from matboard.tasks.task import Sample, Task

KINDS = tuple(IMAGENET)
SEVERITIES = (1, 2, 3, 4, 5)
SMALL = 64
"""Pictures of a shorter side get CIFAR-10-C's settings. Guess, between 32 and 224."""
SIDE = 224
"""Pixels of ImageNet-C's pictures."""

_ENDING = re.compile(r"(.+)/([a-z_]+)-(\d+)")


def split_name(name: str) -> tuple[str, str, int] | None:
    """``cifar10/fog-3`` → (``cifar10``, ``fog``, 3); None where a name has no such ending."""
    found = _ENDING.fullmatch(name)
    return None if found is None else (found[1], found[2], int(found[3][:9]))


def corrupted(task: Task, kind: str, severity: int) -> Task:
    """The task with its test part corrupted.

    Raises:
        UnknownName: no such kind.
        TaskError: no such severity.
        MissingExtra: scipy is not installed.
    """
    check(kind, severity)
    show = partial(_corrupted_sample, kind=kind, severity=severity)
    return replace(
        task,
        name=f"{task.name}/{kind}-{severity}",
        test=tuple(map(show, task.test)),
        condition=show,
    )


def check(kind: str, severity: int) -> None:
    """Raise what `corrupted` does where it cannot be had."""
    if kind not in IMAGENET:
        raise UnknownName("corruption", kind, KINDS)
    if severity not in SEVERITIES:
        raise TaskError(
            f"Corruption {kind!r} has severities 1 to 5, but {severity} came."
        )
    with needed():
        import scipy.ndimage  # noqa: F401
    if kind == "frost":
        from matboard.tasks.corruptions.frost import frost_files

        frost_files()


def _corrupted_sample(sample: Sample, kind: str, severity: int) -> Sample:
    return replace(
        sample,
        id=f"{sample.id}/{kind}-{severity}",
        load=partial(_loaded, sample.load, kind, severity),
    )


def _loaded(load: Callable[[], Image.Image], kind: str, severity: int) -> Image.Image:
    return corrupt(load(), kind, severity)


def corrupt(
    picture: Image.Image,
    kind: str,
    severity: int,
    rng: np.random.RandomState | None = None,
) -> Image.Image:
    """One picture, corrupted; see the module for its size.

    Args:
        picture: 8-bit RGB.
        rng: where randomness comes from; by default the picture's own pixels.

    Raises like `corrupted`.
    """
    from matboard.tasks.corruptions.kinds import FUNCTIONS

    check(kind, severity)
    sized = _sized(picture.convert("RGB"))
    settings = CIFAR if min(sized.size) < SMALL else IMAGENET
    options = settings[kind][severity - 1]
    levels = FUNCTIONS[kind](
        sized, options, rng or _own_randomness(sized, kind, severity)
    )
    # Cut off, not rounded, as in the published code.
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _sized(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    shorter = min(width, height)
    if shorter < SMALL or shorter == SIDE:
        return picture
    size = (
        max(SIDE, round(width * SIDE / shorter)),
        max(SIDE, round(height * SIDE / shorter)),
    )
    return picture.resize(size, Image.Resampling.BILINEAR)


def _own_randomness(
    picture: Image.Image, kind: str, severity: int
) -> np.random.RandomState:
    """numpy keeps what a RandomState draws the same for good."""
    told = hashlib.sha256(f"{kind}-{severity} {picture.size}".encode())
    told.update(picture.tobytes())
    return np.random.RandomState(int.from_bytes(told.digest()[:4], "big"))
