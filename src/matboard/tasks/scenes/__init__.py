"""Pictures drawn from a seed: coloured shapes on a plain ground, four tasks about them, and one
with many classes for streams.

================  =======================================  =================  ========
task              question                                 candidates         metric
================  =======================================  =================  ========
recognition       What is the shape?                       eight shape names  accuracy
counting          How many shapes are there?               one … five         accuracy
presence          Is there a star?                         no, yes            f1
reasoning         Do the two shapes have the same colour?  no, yes            auc
things            What is in the picture?                  48: a colour and   accuracy
                                                           a shape
================  =======================================  =================  ========

A picture is a function of (kind, seed, index) alone, so samples draw theirs on demand. Training,
test and the tiny zoo's own pictures come from disjoint ranges of the index. The three shifts
(``textures``, ``noise``, ``clutter``) redraw the same scenes in a manner that no tiny model was
trained on.
"""

from __future__ import annotations

from functools import partial

from matboard.errors import TaskError, UnknownName
from matboard.tasks.request import Request
from matboard.tasks.scenes.composition import (
    CANDIDATES,
    COLOURS,
    NUMBERS,
    QUESTIONS,
    SHAPES,
    THINGS,
    WORDINGS,
    Scene,
    Thing,
    compose,
)
from matboard.tasks.scenes.drawing import SHIFTS, draw, silhouette
from matboard.tasks.task import Sample, Task

__all__ = [
    "COLOURS",
    "KINDS",
    "NAMES",
    "NUMBERS",
    "RANGES",
    "SHAPES",
    "SHIFTS",
    "STREAM_NAMES",
    "THINGS",
    "WORDINGS",
    "Scene",
    "Thing",
    "build",
    "compose",
    "draw",
    "requested",
    "silhouette",
]

RANGES = {"train": 0, "test": 1_000_000, "zoo": 2_000_000}
"""First index of each part; a part never reaches the next one's."""
DEFAULT_SIZE = 512
"""Pictures of each part where nobody says how many."""

_METRICS = {"presence": "f1", "reasoning": "auc"}
KINDS = tuple(WORDINGS)
"""The four that the tiny zoo was taught; ``things`` is for streams."""

_ENDINGS = ("", *(f"/{shift}" for shift in SHIFTS))
NAMES = tuple(f"scenes-{kind}{ending}" for kind in KINDS for ending in _ENDINGS)
STREAM_NAMES = tuple(f"scenes-things{ending}" for ending in _ENDINGS)


def requested(request: Request) -> Task:
    """The task of a name like ``scenes-counting/noise``."""
    kind, _, shift = request.name.removeprefix("scenes-").partition("/")
    return build(
        kind,
        shift or None,
        train=request.train or DEFAULT_SIZE,
        test=request.test or DEFAULT_SIZE,
        seed=request.seed,
    )


def build(
    kind: str,
    shift: str | None = None,
    *,
    train: int = DEFAULT_SIZE,
    test: int = DEFAULT_SIZE,
    seed: int = 0,
    size: int = 128,
) -> Task:
    """One of the tasks, plain or shifted.

    Args:
        kind: ``recognition``, ``counting``, ``presence``, ``reasoning`` or ``things``.
        shift: ``textures``, ``noise``, ``clutter``, or none.
        train, test: how many pictures; answers are balanced.
        seed: another seed gives other pictures.
        size: side of the pictures in pixels.

    Raises:
        UnknownName: no such kind or shift.
        TaskError: more pictures than a part holds.
    """
    if kind not in QUESTIONS:
        raise UnknownName("kind of scenes", kind, QUESTIONS)
    if shift is not None and shift not in SHIFTS:
        raise UnknownName("shift of scenes", shift, SHIFTS)
    name = f"scenes-{kind}/{shift}" if shift else f"scenes-{kind}"
    most = RANGES["test"]
    if not (1 <= train <= most and 1 <= test <= most):
        raise TaskError(
            f"Task {name!r} was asked for {train} training and {test} test pictures; each part"
            f" holds 1 to {most}."
        )
    sample = partial(_sample, kind, shift, seed, size)
    return Task(
        name=name,
        train=tuple(sample("train", number) for number in range(train)),
        test=tuple(sample("test", number) for number in range(test)),
        metric=_METRICS.get(kind, "accuracy"),
    )


def _sample(
    kind: str, shift: str | None, seed: int, size: int, part: str, number: int
) -> Sample:
    scene = compose(kind, seed, RANGES[part] + number)
    return Sample(
        id=f"{kind}-{shift or 'plain'}-{seed}-{part}-{number}",
        load=partial(draw, scene, shift, size),
        question=QUESTIONS[kind].format(*scene.subjects),
        answer=scene.answer,
        candidates=CANDIDATES[kind],
        caption=scene.caption,
        group=scene.answer,
    )
