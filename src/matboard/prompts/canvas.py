"""T_p, the operation that makes room for a prompt (arXiv 2404.11207, Eq. 2).

| theirs | ours |
|---|---|
| T_p(X) | `Canvas.place(Canvas.shrink(X))`: X shrunk, in the middle of a black square |
| p | `Canvas.width` |
| δ_p | a prompt's perturbation, zero outside `region` |

The paper's canvas has 224 pixels and p = 30 (Sec. 4.1); its code resizes the short side and crops
the centre, here policy ``crop``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from matboard.errors import ConfigError, ImageError, UnknownName
from matboard.images import decode

POLICIES = ("crop", "squash", "letterbox")
LAYOUTS = ("border", "patch", "full")
BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Canvas:
    """The square picture a pixel prompt is composed on.

    Attributes:
        size: side of the canvas, in pixels.
        width: width of the border, in pixels; 0 leaves the whole canvas to the picture.
        policy: how a picture that is not square becomes one: ``crop`` (short side fits, the rest is
            cut off), ``squash`` (aspect ratio lost) or ``letterbox`` (long side fits, black bars).

    Raises:
        UnknownName: no such policy.
        ConfigError: no room is left for the picture.
    """

    size: int = 224
    width: int = 30
    policy: str = "crop"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UnknownName("canvas policy", self.policy, POLICIES)
        for name in ("size", "width"):
            value = getattr(self, name)
            if type(value) is not int:
                raise ConfigError(
                    f"A canvas of {name} {value!r} came; expected a whole number of pixels."
                )
        if self.size < 1 or self.width < 0 or 2 * self.width >= self.size:
            raise ConfigError(
                f"A canvas of {self.size} pixels with a border of {self.width} leaves no room for a"
                " picture; expected 0 ≤ 2·width < size."
            )

    @property
    def inner(self) -> int:
        """Side of the shrunk picture: size − 2·width."""
        return self.size - 2 * self.width

    def mask(self) -> NDArray[np.bool_]:
        """``size size``, True on the border."""
        mask = np.ones((self.size, self.size), dtype=bool)
        inside = slice(self.width, self.size - self.width)
        mask[inside, inside] = False
        return mask

    def shrink(
        self, picture: Image.Image, offset: float = 0.5, mirror: bool = False
    ) -> Image.Image:
        """The picture as ``inner × inner`` RGB, by Pillow's bicubic filter.

        Args:
            offset: where policy ``crop`` cuts, from 0 (left or top) to 1 (right or bottom); the
                middle when a prompt is used.
            mirror: flip left and right.
        """
        return self._fit(picture, self.inner, offset, mirror)

    def full(
        self, picture: Image.Image, offset: float = 0.5, mirror: bool = False
    ) -> Image.Image:
        """The picture as ``size × size`` RGB, without room for a prompt: what a model sees when
        there is none.
        """
        return self._fit(picture, self.size, offset, mirror)

    def place(self, picture: Image.Image) -> Image.Image:
        """A picture of ``inner × inner`` in the middle of the black canvas. Raises ImageError where
        the size is another.
        """
        if picture.size != (self.inner, self.inner):
            came = "×".join(map(str, picture.size))
            raise ImageError(
                f"A picture of {came} pixels came; expected {self.inner}×{self.inner}, as"
                " Canvas.shrink makes it."
            )
        return _on_black(picture, self.size)

    def _fit(
        self, picture: Image.Image, side: int, offset: float, mirror: bool
    ) -> Image.Image:
        if not 0 <= offset <= 1:
            raise ConfigError(
                f"A crop offset of {offset} came; expected one from 0 (left or top) to 1 (right or"
                " bottom)."
            )
        picture = decode(picture)
        width, height = scaled(picture.width, picture.height, side, self.policy)
        if self.policy == "crop":
            fitted = _resize_and_crop(picture, (width, height), side, offset)
        else:
            fitted = _on_black(
                picture.resize((width, height), Image.Resampling.BICUBIC), side
            )
        return ImageOps.mirror(fitted) if mirror else fitted


def scaled(width: int, height: int, side: int, policy: str) -> tuple[int, int]:
    """(width, height) after resizing for a square of ``side``, before cropping or padding;
    fractions are cut off, as torchvision does.
    """
    if policy == "squash":
        return side, side
    reference = min(width, height) if policy == "crop" else max(width, height)
    return max(1, side * width // reference), max(1, side * height // reference)


def _resize_and_crop(
    picture: Image.Image, resized: tuple[int, int], side: int, offset: float
) -> Image.Image:
    """What resizing and then cropping gives, without ever holding what is cut off (a 1×60000
    picture would grow enormous).

    To 2 levels where bicubic overshoot stays within 8 bits: Pillow rounds after each axis, and
    takes the axes in another order for a box. Where overshoot is clipped between the axes, as on
    noise in black and white, single pixels differ by more (22 levels measured).
    """
    left, right = _box(picture.width, resized[0], side, offset)
    top, bottom = _box(picture.height, resized[1], side, offset)
    box = (left, top, right, bottom)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _box(length: int, resized: int, side: int, offset: float) -> tuple[float, float]:
    """Where, on a picture's axis, the ``side`` pixels begin and end that cropping keeps of it."""
    scale = resized / length
    start = round(offset * (resized - side))
    return start / scale, min((start + side) / scale, length)


def _on_black(picture: Image.Image, side: int) -> Image.Image:
    if picture.size == (side, side):
        return picture
    left = (side - picture.width) // 2
    top = (side - picture.height) // 2
    square = Image.new("RGB", (side, side), BLACK)
    square.paste(picture, (left, top))
    return square


@dataclass(frozen=True)
class Patch:
    """A square on the picture (arXiv 2203.17274 compares it with the border), in canvas pixels from
    the top left corner.
    """

    side: int
    top: int = 0
    left: int = 0


def region(
    canvas: Canvas, layout: str, patch: Patch | None = None
) -> NDArray[np.bool_]:
    """``size size``, True where a prompt of this layout acts.

    Raises:
        UnknownName: no such layout.
        ConfigError: a border without width, a width that the layout has no use for, or a patch that
            is missing, superfluous or outside.
    """
    if layout not in LAYOUTS:
        raise UnknownName("prompt layout", layout, LAYOUTS)
    if layout == "border" and canvas.width == 0:
        raise ConfigError(
            "Layout 'border' needs a width of at least 1; the canvas has width 0."
        )
    if layout != "border" and canvas.width > 0:
        raise ConfigError(
            f"Layout {layout!r} needs width 0, as it lies on the picture; the canvas has width"
            f" {canvas.width}."
        )
    if (layout == "patch") != (patch is not None):
        raise ConfigError(
            f"Layout {layout!r} came with patch {patch}; layout 'patch' needs one and no other"
            " layout has any."
        )
    if layout == "border":
        return canvas.mask()
    rows, columns = area(canvas, patch)
    mask = np.zeros((canvas.size, canvas.size), dtype=bool)
    mask[rows, columns] = True
    return mask


def area(canvas: Canvas, patch: Patch | None) -> tuple[slice, slice]:
    """(rows, columns) of the canvas that a prompt's tensor covers: the patch's, or all. Raises
    ConfigError where the patch lies outside.
    """
    patch = patch or Patch(canvas.size)
    bottom = patch.top + patch.side
    right = patch.left + patch.side
    if (
        min(patch.side - 1, patch.top, patch.left) < 0
        or max(bottom, right) > canvas.size
    ):
        raise ConfigError(
            f"{patch} lies outside a canvas of {canvas.size}×{canvas.size} pixels."
        )
    return slice(patch.top, bottom), slice(patch.left, right)


def valid_range(layout: str) -> tuple[float, float]:
    """Between which values a perturbation can change an 8-bit picture: on a black border [0, 1], on
    a picture [−1, 1].
    """
    return (0.0, 1.0) if layout == "border" else (-1.0, 1.0)
