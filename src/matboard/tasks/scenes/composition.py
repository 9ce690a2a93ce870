"""What a scene shows and what is asked about it, drawn by lot from (kind, seed, index)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart")
COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 80, 200),
    "yellow": (240, 200, 30),
    "purple": (140, 50, 170),
    "cyan": (40, 200, 215),
}
NUMBERS = ("one", "two", "three", "four", "five")
THINGS = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)

WORDINGS: dict[str, tuple[str, ...]] = {
    "recognition": (
        "What is the shape?",
        "What shape is this?",
        "Which shape is in the picture?",
        "This is a photo of a",
    ),
    "counting": (
        "How many shapes are there?",
        "How many shapes are in the picture?",
        "Count the shapes.",
        "The number of shapes is",
    ),
    "presence": (
        "Is there a {}?",
        "Can you see a {}?",
        "Does the picture show a {}?",
        "In the picture, is there a {}?",
    ),
    "reasoning": (
        "Do the two shapes have the same colour?",
        "Are both shapes of the same colour?",
        "Is the colour of the two shapes the same?",
        "The shapes share a colour, yes or no?",
    ),
}
"""Per kind the ways to ask; tasks use the first, the tiny zoo learned from all."""
QUESTIONS = {
    **{kind: wordings[0] for kind, wordings in WORDINGS.items()},
    "things": "What is in the picture?",
}
CANDIDATES = {
    "recognition": SHAPES,
    "counting": NUMBERS,
    "presence": ("no", "yes"),
    "reasoning": ("no", "yes"),
    "things": THINGS,
}

TRIES = 30
"""Places tried for a thing before the whole scene is begun again."""
MARGIN = 0.02
"""Least distance of a thing from the picture's edge, in fractions of its side."""
APART = 1.15
"""Least distance between the centres of two things, in sums of their radii."""


@dataclass(frozen=True)
class Thing:
    """One shape: centre and radius in fractions of the picture's side, angle in radians."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True)
class Scene:
    """What a picture shows, and what is asked about it.

    Attributes:
        key: (kind, seed, index) as numbers; seeds everything that drawing draws by lot.
        subjects: the words that fill the wording's blanks.
    """

    key: tuple[int, int, int]
    things: tuple[Thing, ...]
    subjects: tuple[str, ...]
    answer: str
    caption: str


def compose(kind: str, seed: int, index: int) -> Scene:
    """The scene of this index; its answer cycles through the candidates, everything else is drawn
    by lot.
    """
    key = (list(QUESTIONS).index(kind), seed, index)
    rng = np.random.default_rng(key)
    candidates = CANDIDATES[kind]
    answer = candidates[index % len(candidates)]
    things, subjects = _CONTENTS[kind](rng, answer)
    what = " and ".join(f"a {thing.colour} {thing.shape}" for thing in things)
    if kind == "counting":
        what = "one shape" if answer == "one" else f"{answer} shapes"
    return Scene(key, things, subjects, answer, f"this is a photo of {what}")


Contents: TypeAlias = tuple[tuple[Thing, ...], tuple[str, ...]]
"""Things, and the words that fill the wording's blanks."""


def _recognition(rng: np.random.Generator, answer: str) -> Contents:
    colours = _some(rng, COLOURS, 1)
    radii = rng.uniform(0.22, 0.34, 1)
    return _place(rng, [answer], colours, radii), ()


def _counting(rng: np.random.Generator, answer: str) -> Contents:
    count = NUMBERS.index(answer) + 1
    shapes = [str(rng.choice(SHAPES)) for _ in range(count)]
    colours = [str(rng.choice(list(COLOURS))) for _ in range(count)]
    radii = rng.uniform(0.09, 0.14, count)
    return _place(rng, shapes, colours, radii), ()


def _presence(rng: np.random.Generator, answer: str) -> Contents:
    count = int(rng.integers(2, 4))
    *there, absent = _some(rng, SHAPES, count + 1)
    colours = _some(rng, COLOURS, count)
    radii = rng.uniform(0.13, 0.19, count)
    things = _place(rng, there, colours, radii)
    if answer == "no":
        return things, (absent,)
    return things, (there[int(rng.integers(count))],)


def _reasoning(rng: np.random.Generator, answer: str) -> Contents:
    colours = _some(rng, COLOURS, 2)
    if answer == "yes":
        colours[1] = colours[0]
    shapes = _some(rng, SHAPES, 2)
    radii = rng.uniform(0.12, 0.22, 2)
    return _place(rng, shapes, colours, radii), ()


def _things(rng: np.random.Generator, answer: str) -> Contents:
    colour, shape = answer.split()
    radii = rng.uniform(0.22, 0.34, 1)
    return _place(rng, [shape], [colour], radii), ()


_CONTENTS: dict[str, Callable[[np.random.Generator, str], Contents]] = {
    "recognition": _recognition,
    "counting": _counting,
    "presence": _presence,
    "reasoning": _reasoning,
    "things": _things,
}


def _some(rng: np.random.Generator, names: Iterable[str], count: int) -> list[str]:
    drawn = rng.choice(list(names), count, replace=False)
    return [str(name) for name in drawn]


def _place(
    rng: np.random.Generator,
    shapes: list[str],
    colours: list[str],
    radii: NDArray[np.float64],
) -> tuple[Thing, ...]:
    """Things that do not touch, by rejection; starts over when one finds no room."""
    while True:
        things: list[Thing] = []
        for shape, colour, radius in zip(shapes, colours, radii, strict=True):
            room = _room(rng, things, float(radius))
            if room is not None:
                angle = float(rng.uniform(-0.3, 0.3))
                things.append(Thing(shape, colour, *room, float(radius), angle))
        if len(things) == len(shapes):
            return tuple(things)


def _room(
    rng: np.random.Generator, things: list[Thing], radius: float
) -> tuple[float, float] | None:
    """The first centre that is far enough from every thing; None where none of the tries is."""
    low = radius + MARGIN
    high = 1 - MARGIN - radius
    centres = rng.uniform(low, high, (TRIES, 2))
    for x, y in centres.tolist():
        if not any(_touches(thing, x, y, radius) for thing in things):
            return x, y
    return None


def _touches(thing: Thing, x: float, y: float, radius: float) -> bool:
    distance = np.hypot(x - thing.x, y - thing.y)
    return bool(distance <= APART * (radius + thing.radius))
