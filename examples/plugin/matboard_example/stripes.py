"""A task: do the stripes run across? Pictures drawn from a seed."""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image

from matboard.tasks import Request, Sample, Task

SIDE = 64
ANSWERS = ("no", "yes")
QUESTION = "Do the stripes run across?"
DEFAULT = 64
"""Pictures of each part where nobody says how many."""


def stripes(request: Request) -> Task:
    """The task that was asked for; one builder may serve several names."""
    samples = partial(_samples, seed=request.seed)
    return Task(
        name=request.name,
        train=samples("train", request.train or DEFAULT),
        test=samples("test", request.test or DEFAULT),
        metric="balanced_accuracy",
        mirror=True,
    )


def _samples(part: str, count: int, seed: int) -> tuple[Sample, ...]:
    return tuple(_sample(part, number, seed) for number in range(count))


def _sample(part: str, number: int, seed: int) -> Sample:
    answer = ANSWERS[number % 2]
    across = answer == "yes"
    return Sample(
        id=f"{seed}-{part}-{number}",
        load=partial(draw, across, (seed, part == "test", number)),
        question=QUESTION,
        answer=answer,
        candidates=ANSWERS,
        caption=f"stripes that run {'across' if across else 'down'}",
        group=answer,
    )


def draw(across: bool, key: tuple[int, ...]) -> Image.Image:
    """Stripes of two colours and a width drawn by lot: a function of the arguments alone."""
    rng = np.random.default_rng(key)
    colours = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    width = int(rng.integers(3, 9))
    which = np.arange(SIDE) // width % 2
    rows = np.repeat(colours[which][:, None], SIDE, axis=1)
    return Image.fromarray(rows if across else rows.transpose(1, 0, 2).copy())
