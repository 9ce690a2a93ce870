"""How a scene is drawn, plainly or in one of three manners that no tiny model was trained on."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from matboard.tasks.scenes.composition import COLOURS, Scene, Thing

SHIFTS = ("textures", "noise", "clutter")

Points: TypeAlias = NDArray[np.float64]
"""Corners of an outline, around the origin, in radii."""
Colour: TypeAlias = tuple[int, ...]


class Contrasts(NamedTuple):
    """Of stripes, in grey levels; 0 draws none."""

    ground: float
    things: float


STRIPES = Contrasts(40.0, 90.0)
NO_STRIPES = Contrasts(0.0, 0.0)


def draw(scene: Scene, shift: str | None = None, size: int = 128) -> Image.Image:
    """The scene as an RGB picture of ``size`` × ``size``, drawn at twice the size and averaged
    down.
    """
    rng = np.random.default_rng((*scene.key, 1))
    lots = np.random.default_rng((*scene.key, 2))
    side = 2 * size
    stripes = STRIPES if shift == "textures" else NO_STRIPES
    ground = _near(rng.uniform(70, 220), 18, rng)
    picture = _filled(ground, lots, side, stripes.ground)
    for thing in scene.things:
        plain = np.array(COLOURS[thing.colour])
        colour = _near(plain, 20, rng)
        sheet = _filled(colour, lots, side, stripes.things)
        picture.paste(sheet, mask=_mask(thing, side))
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


def _near(
    levels: float | NDArray[np.int64], most: float, rng: np.random.Generator
) -> Colour:
    """A colour whose channels differ from the given levels by at most so many."""
    wanted = levels + rng.uniform(-most, most, 3)
    clipped = np.clip(wanted, 0, 255)
    return tuple(clipped.astype(int).tolist())


def _filled(
    colour: Colour, rng: np.random.Generator, side: int, contrast: float
) -> Image.Image:
    """A plain sheet, or one striped at a random angle and pitch where ``contrast`` (grey levels) is
    not zero.
    """
    if not contrast:
        return Image.new("RGB", (side, side), colour)
    angle = rng.uniform(0, np.pi)
    pitch = rng.uniform(0.06, 0.14) * side
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * along / pitch)
    stripe = np.where(wave > 0, contrast, -contrast)
    tint = rng.uniform(0.4, 1, 3)
    levels = np.array(colour) + stripe[..., None] * tint
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _mask(thing: Thing, side: int) -> Image.Image:
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    centre = [thing.x, thing.y]
    outline = OUTLINES[thing.shape] @ _turned_by(thing.angle)
    corners = outline * thing.radius + centre
    _fill(pen, corners * side, 255)
    if thing.shape == "ring":
        circle = OUTLINES["circle"]
        hole = circle * thing.radius * 0.55 + centre
        _fill(pen, hole * side, 0)
    return mask


def _turned_by(angle: float) -> Points:
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _fill(pen: ImageDraw.ImageDraw, corners: Points, level: int) -> None:
    points = [(x, y) for x, y in corners.tolist()]
    pen.polygon(points, fill=level)


def _regular(corners: int, start: float, radii: tuple[float, ...] = (1.0,)) -> Points:
    turns = 2 * np.pi * np.arange(corners) / corners
    angles = start + turns
    x = np.cos(angles)
    y = np.sin(angles)
    around = np.stack([x, y], 1)
    lengths = np.resize(radii, corners)
    return np.asarray(around * lengths[:, None])


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 60)
    x = np.sin(t) ** 3
    y = 13 * np.cos(t)
    for weight, frequency in ((5, 2), (2, 3), (1, 4)):
        y = y - weight * np.cos(frequency * t)
    return np.stack([x, -y / 16], 1)


def _cross(arm: float) -> Points:
    corners = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    quarter = np.array([(0, 1), (-1, 0)])
    outline = []
    for _ in range(4):
        outline.append(corners)
        corners = corners @ quarter
    return np.concatenate(outline)


OUTLINES = {
    "circle": _regular(60, 0.0) * 0.92,
    "square": _regular(4, np.pi / 4) * 1.1,
    "triangle": _regular(3, -np.pi / 2) * 1.1,
    "star": _regular(10, -np.pi / 2, (1.1, 0.45)),
    "cross": _cross(0.33),
    "diamond": _regular(4, -np.pi / 2) * np.array([0.72, 1.1]),
    "ring": _regular(60, 0.0) * 0.95,
    "heart": _heart(),
}


def _scatter(picture: Image.Image, rng: np.random.Generator) -> None:
    """Thin lines and specks of any colour, over everything."""
    pen = ImageDraw.Draw(picture)
    side = picture.width
    for _ in range(14):
        near = rng.uniform(0, side, 2)
        far = near + rng.normal(0, 0.3 * side, 2)
        ends = [*near, *far]
        pen.line(ends, fill=_any_colour(rng), width=side // 64)
    for centre in rng.uniform(0, side, (40, 2)):
        radius = rng.uniform(0.006, 0.02) * side
        box = [*(centre - radius), *(centre + radius)]
        pen.ellipse(box, fill=_any_colour(rng))


def _any_colour(rng: np.random.Generator) -> Colour:
    return tuple(rng.integers(0, 256, 3).tolist())


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Less contrast, Gaussian noise, and one pixel in twelve black or white."""
    levels = np.asarray(picture, dtype=np.float32)
    faint = 128 + 0.6 * (levels - 128)
    pixels = faint + rng.normal(0, 35, levels.shape)
    salt = rng.random(picture.size)
    pixels[salt < 1 / 24] = 0
    pixels[salt > 23 / 24] = 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
