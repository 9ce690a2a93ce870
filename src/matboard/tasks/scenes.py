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

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from matboard.errors import TaskError, UnknownName
from matboard.tasks.task import Metric, Sample, Task

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
SHIFTS = ("textures", "noise", "clutter")
RANGES = {"train": 0, "test": 1_000_000, "zoo": 2_000_000}
"""First index of each part; a part never reaches the next one's."""

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

THINGS = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
_CANDIDATES = {
    "recognition": SHAPES,
    "counting": NUMBERS,
    "presence": ("no", "yes"),
    "reasoning": ("no", "yes"),
    "things": THINGS,
}
_QUESTIONS = {
    **{kind: wordings[0] for kind, wordings in WORDINGS.items()},
    "things": "What is in the picture?",
}
_METRICS: dict[str, Metric] = {
    "recognition": "accuracy",
    "counting": "accuracy",
    "presence": "f1",
    "reasoning": "auc",
    "things": "accuracy",
}
KINDS = tuple(WORDINGS)
"""The four that the tiny zoo was taught; ``things`` is for streams."""

_ENDINGS = ("", *(f"/{shift}" for shift in SHIFTS))
NAMES = tuple(f"scenes-{kind}{ending}" for kind in KINDS for ending in _ENDINGS)
STREAM_NAMES = tuple(f"scenes-things{ending}" for ending in _ENDINGS)


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


def build(
    kind: str,
    shift: str | None = None,
    *,
    train: int = 512,
    test: int = 512,
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
    if kind not in _QUESTIONS:
        raise UnknownName("kind of scenes", kind, _QUESTIONS)
    if shift is not None and shift not in SHIFTS:
        raise UnknownName("shift of scenes", shift, SHIFTS)
    name = f"scenes-{kind}" + (f"/{shift}" if shift else "")
    most = RANGES["test"]
    if not (1 <= train <= most and 1 <= test <= most):
        raise TaskError(
            f"Task {name!r} was asked for {train} training and {test} test pictures; each part"
            f" holds 1 to {most}."
        )
    trained, tested = (
        tuple(_sample(kind, shift, part, i, seed, size) for i in range(count))
        for part, count in (("train", train), ("test", test))
    )
    return Task(name=name, train=trained, test=tested, metric=_METRICS[kind])


def _sample(kind: str, shift: str | None, part: str, number: int, seed: int, size: int) -> Sample:
    shown = compose(kind, seed, RANGES[part] + number)
    return Sample(
        id=f"{kind}-{shift or 'plain'}-{seed}-{part}-{number}",
        load=partial(draw, shown, shift, size),
        question=_QUESTIONS[kind].format(*shown.subjects),
        answer=shown.answer,
        candidates=_CANDIDATES[kind],
        caption=shown.caption,
        group=shown.answer,
    )


# What a picture shows
# ------------------------------------------------------------------------------------------------


def compose(kind: str, seed: int, index: int) -> Scene:
    """The scene of this index; its answer cycles through the candidates, everything else is drawn
    by lot.
    """
    key = (list(_QUESTIONS).index(kind), seed, index)
    rng = np.random.default_rng(key)
    answer = _CANDIDATES[kind][index % len(_CANDIDATES[kind])]
    things, subjects = _CONTENTS[kind](rng, answer)
    what = " and ".join(f"a {thing.colour} {thing.shape}" for thing in things)
    if kind == "counting":
        what = "one shape" if answer == "one" else f"{answer} shapes"
    return Scene(key, things, subjects, answer, f"this is a photo of {what}")


_Contents = tuple[tuple[Thing, ...], tuple[str, ...]]


def _recognition(rng: np.random.Generator, answer: str) -> _Contents:
    return _place(rng, [answer], _some(rng, COLOURS, 1), rng.uniform(0.22, 0.34, 1)), ()


def _counting(rng: np.random.Generator, answer: str) -> _Contents:
    count = NUMBERS.index(answer) + 1
    kinds = [str(rng.choice(SHAPES)) for _ in range(count)]
    return (
        _place(
            rng,
            kinds,
            [str(rng.choice(list(COLOURS))) for _ in range(count)],
            rng.uniform(0.09, 0.14, count),
        ),
        (),
    )


def _presence(rng: np.random.Generator, answer: str) -> _Contents:
    count = int(rng.integers(2, 4))
    kinds = _some(rng, SHAPES, count + 1)
    things = _place(rng, kinds[:count], _some(rng, COLOURS, count), rng.uniform(0.13, 0.19, count))
    return things, (kinds[int(rng.integers(count))] if answer == "yes" else kinds[count],)


def _reasoning(rng: np.random.Generator, answer: str) -> _Contents:
    colours = _some(rng, COLOURS, 2)
    if answer == "yes":
        colours[1] = colours[0]
    return _place(rng, _some(rng, SHAPES, 2), colours, rng.uniform(0.12, 0.22, 2)), ()


def _things(rng: np.random.Generator, answer: str) -> _Contents:
    colour, shape = answer.split()
    return _place(rng, [shape], [colour], rng.uniform(0.22, 0.34, 1)), ()


_CONTENTS: dict[str, Callable[[np.random.Generator, str], _Contents]] = {
    "recognition": _recognition,
    "counting": _counting,
    "presence": _presence,
    "reasoning": _reasoning,
    "things": _things,
}


def _some(
    rng: np.random.Generator, names: tuple[str, ...] | dict[str, tuple[int, int, int]], count: int
) -> list[str]:
    return [str(name) for name in rng.choice(list(names), count, replace=False)]


def _place(
    rng: np.random.Generator, shapes: list[str], colours: list[str], radii: np.ndarray
) -> tuple[Thing, ...]:
    """Things that do not touch, by rejection; starts over when one finds no room."""
    while True:
        things: list[Thing] = []
        for shape, colour, radius in zip(shapes, colours, radii, strict=True):
            for x, y in rng.uniform(radius + 0.02, 0.98 - radius, (30, 2)):
                if all(np.hypot(x - t.x, y - t.y) > 1.15 * (radius + t.radius) for t in things):
                    things.append(
                        Thing(
                            shape,
                            colour,
                            float(x),
                            float(y),
                            float(radius),
                            float(rng.uniform(-0.3, 0.3)),
                        )
                    )
                    break
        if len(things) == len(shapes):
            return tuple(things)


# How it is drawn
# -----------------------------------------------------------------------------------------------------


def draw(scene: Scene, shift: str | None = None, size: int = 128) -> Image.Image:
    """The scene as an RGB picture of ``size`` × ``size``, drawn at twice the size and averaged
    down.
    """
    rng = np.random.default_rng((*scene.key, 1))
    lots = np.random.default_rng((*scene.key, 2))
    side = 2 * size
    textured = shift == "textures"
    ground = tuple(int(c) for c in np.clip(rng.uniform(70, 220) + rng.uniform(-18, 18, 3), 0, 255))
    picture = _filled(ground, lots, side, 40.0 if textured else 0.0)
    for thing in scene.things:
        colour = tuple(
            int(c)
            for c in np.clip(np.array(COLOURS[thing.colour]) + rng.uniform(-20, 20, 3), 0, 255)
        )
        picture.paste(
            _filled(colour, lots, side, 90.0 if textured else 0.0), mask=_mask(thing, side)
        )
    if shift == "clutter":
        _scatter(picture, lots)
    picture = picture.reduce(2)
    return _noisy(picture, lots) if shift == "noise" else picture


def silhouette(scene: Scene, size: int = 128) -> Image.Image:
    """Where the scene's things are: a grey picture of ``size`` × ``size``, 255 inside and 0
    outside.
    """
    union = Image.new("L", (2 * size, 2 * size))
    for thing in scene.things:
        union = ImageChops.lighter(union, _mask(thing, 2 * size))
    return union.reduce(2)


def _filled(
    colour: tuple[int, ...], rng: np.random.Generator, side: int, contrast: float
) -> Image.Image:
    """A plain sheet, or one striped at a random angle and pitch where ``contrast`` (grey levels) is
    not zero.
    """
    if not contrast:
        return Image.new("RGB", (side, side), colour)
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(0.06, 0.14) * side
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    stripe = np.where(
        np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / pitch) > 0, contrast, -contrast
    )
    tint = rng.uniform(0.4, 1, 3)
    return Image.fromarray(
        np.clip(np.array(colour) + stripe[..., None] * tint, 0, 255).astype(np.uint8)
    )


def _mask(thing: Thing, side: int) -> Image.Image:
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    corners = _OUTLINES[thing.shape]
    turn = np.array(
        [[np.cos(thing.angle), np.sin(thing.angle)], [-np.sin(thing.angle), np.cos(thing.angle)]]
    )
    points = (corners @ turn * thing.radius + [thing.x, thing.y]) * side
    pen.polygon([(float(x), float(y)) for x, y in points], fill=255)
    if thing.shape == "ring":
        hole = (_OUTLINES["circle"] * thing.radius * 0.55 + [thing.x, thing.y]) * side
        pen.polygon([(float(x), float(y)) for x, y in hole], fill=0)
    return mask


def _regular(corners: int, start: float, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    angles = start + 2 * np.pi * np.arange(corners) / corners
    points: np.ndarray = (
        np.stack([np.cos(angles), np.sin(angles)], 1) * np.resize(radii, corners)[:, None]
    )
    return points


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60)
    y: np.ndarray = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return np.stack([np.sin(t) ** 3, y], 1)


_ARM = 0.33
_QUARTERS = [((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0))]
_OUTLINES = {
    "circle": _regular(60, 0.0) * 0.92,
    "square": _regular(4, np.pi / 4) * 1.1,
    "triangle": _regular(3, -np.pi / 2) * 1.1,
    "star": _regular(10, -np.pi / 2, (1.1, 0.45)),
    "cross": np.concatenate(
        [
            np.array([(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM)]) @ np.array(quarter)
            for quarter in _QUARTERS
        ]
    ),
    "diamond": _regular(4, -np.pi / 2) * np.array([0.72, 1.1]),
    "ring": _regular(60, 0.0) * 0.95,
    "heart": _heart(),
}


def _scatter(picture: Image.Image, rng: np.random.Generator) -> None:
    """Thin lines and specks of any colour, over everything."""
    pen, side = ImageDraw.Draw(picture), picture.width
    for _ in range(14):
        ends = rng.uniform(0, side, 2)
        far = ends + rng.normal(0, 0.3 * side, 2)
        pen.line(
            [*ends, *far], fill=tuple(int(c) for c in rng.integers(0, 256, 3)), width=side // 64
        )
    for x, y in rng.uniform(0, side, (40, 2)):
        r = rng.uniform(0.006, 0.02) * side
        pen.ellipse(
            [x - r, y - r, x + r, y + r], fill=tuple(int(c) for c in rng.integers(0, 256, 3))
        )


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Less contrast, Gaussian noise, and one pixel in twelve black or white."""
    pixels = (
        128
        + 0.6 * (np.asarray(picture, dtype=np.float32) - 128)
        + rng.normal(0, 35, (*picture.size, 3))
    )
    salt = rng.random(picture.size)
    pixels[salt < 1 / 24], pixels[salt > 23 / 24] = 0, 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
