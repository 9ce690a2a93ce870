"""Pictures: decoding files nobody vouches for, data URLs, and the pixel convention.

Two forms exist. A *picture* is a PIL image, 8-bit RGB, upright and opaque. An *array* is
``float32``, RGB, ``3 height width`` in [0, 1], before any model's normalisation. `decode` makes the
first out of anything; `to_array` and `to_picture` go between the two. `from_data_url` and
`to_data_url` are for pictures inside a request, where their files stand in base64.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from matboard.disk import regular_size
from matboard.errors import ImageError, PictureTooLarge, first_line

MAX_PIXELS = 89_478_485
"""Pillow's own ``Image.MAX_IMAGE_PIXELS``: a quarter gigabyte of RGB."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What Pillow decodes; a closed list, because some of its other formats start programs (EPS) or are
rarely tested decoders. HEIC is decoded by pillow-heif, where that is installed.
"""

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"}
    | {".pgm", ".avif", ".heic", ".heif", ".hif"}
)
"""By what name a file inside a folder is taken for a picture."""

HEIC = frozenset(b"heic heix heim heis hevc hevx hevm hevs".split())
AVIF = frozenset(b"avif avis".split())
"""Brands by which a file says that it follows them (ISO/IEC 23008-12; AV1 Image File Format)."""

WHITE = (255, 255, 255)

_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
"""Modes whose colours are multiplied by their opacity → the same where they are not."""

_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.3, tag Orientation → what sets the picture upright."""


def decode(
    source: Path | bytes | Image.Image,
    max_pixels: int = MAX_PIXELS,
    background: tuple[int, int, int] = WHITE,
    name: str | None = None,
) -> Image.Image:
    """Any picture as 8-bit RGB, upright, opaque; the first frame of an animated one.

    EXIF rotation is applied, transparency is laid on ``background``, 16-bit greyscale is scaled to
    8 bits. Colour profiles are ignored, and so is EXIF data that cannot be read. Doing it twice
    changes nothing.

    Args:
        source: a file, a file's content, or a picture that Pillow opened or made.
        max_pixels: the most pixels allowed; checked before any is decoded.
        background: 8-bit RGB colour behind transparent pixels.
        name: what errors call it; by default the file's name, or how many bytes came.

    Raises:
        PictureTooLarge: more pixels than are allowed.
        ImageError: not a picture, truncated, empty, no regular file, or pixels without a stated
            range (32-bit).
    """
    name = name or _name(source)
    try:
        if isinstance(source, Image.Image):
            return _decode(source, name, max_pixels, background)
        if isinstance(source, Path):
            regular_size(source)
        with _opened(source, name) as opened:
            return _decode(opened, name, max_pixels, background)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture; expected one of {', '.join(FORMATS)}, HEIC."
        ) from None
    except Image.DecompressionBombError:
        raise PictureTooLarge(
            f"{name} declares more than {2 * MAX_PIXELS} pixels; at most {max_pixels} are allowed."
            " Shrink it first."
        ) from None
    except (
        Exception
    ) as error:  # what a decoder raises on a hostile file is no closed list
        raise ImageError(f"{name} cannot be read: {_reason(error)}.") from error


def _opened(source: Path | bytes, name: str) -> Image.Image:
    """The file's header, read; of HEIC by a library that Pillow does not know of before."""
    file = source if isinstance(source, Path) else io.BytesIO(source)
    brands = _brands(source)
    if brands & HEIC:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise ImageError(
                f"{name} is a HEIC picture, which is read with pillow-heif. Run: pip install"
                " 'matboard[heic]'."
            ) from None
        return HeifImageFile(file)
    if brands & AVIF and not features.check("avif"):
        raise ImageError(
            f"{name} is an AVIF picture, which is read with Pillow 11.3 or later. Run: pip install"
            " --upgrade pillow."
        )
    return Image.open(file, formats=FORMATS)


def _brands(source: Path | bytes) -> set[bytes]:
    """What a file of the ISO base media format (HEIC, AVIF) says it follows; empty of others."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(256)
    else:
        head = source[:256]
    if head[4:8] != b"ftyp":
        return set()
    listed = head[8 : int.from_bytes(head[:4], "big")]
    return {listed[place : place + 4] for place in range(0, len(listed), 4)}


def _name(source: Path | bytes | Image.Image) -> str:
    if isinstance(source, Path):
        return str(source)
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "The picture")
    return f"The picture ({len(source)} bytes)"


def _decode(
    picture: Image.Image, name: str, max_pixels: int, background: tuple[int, int, int]
) -> Image.Image:
    width, height = picture.size
    if width * height == 0:
        raise ImageError(f"{name} is empty: {width}×{height} pixels.")
    if width * height > max_pixels:
        raise PictureTooLarge(
            f"{name} has {width}×{height} pixels; at most {max_pixels} are allowed. Shrink it"
            " first."
        )
    try:
        picture.load()
    except Exception as error:
        raise ImageError(
            f"{name} is a broken {picture.format or 'picture'} file: {_reason(error)}. Expected a"
            " whole one."
        ) from error
    return _to_rgb(_upright(picture), name, background)


def _upright(picture: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except (
        Exception
    ):  # as it is stored: browsers show a picture with damaged EXIF data so too
        return picture
    if turn is None:
        return picture
    turned = picture.transpose(turn)
    for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        turned.info.pop(key, None)
    return turned


def _to_rgb(
    picture: Image.Image, name: str, background: tuple[int, int, int]
) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = _from_16_bit(picture, name)
    if picture.mode == "F":
        raise ImageError(
            f"{name} has 32-bit float pixels, which state no range; expected 8 or 16 bits. Save it"
            " as an 8-bit picture first."
        )
    if picture.mode in _PREMULTIPLIED:
        picture = picture.convert(_PREMULTIPLIED[picture.mode])
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*background, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    if picture.mode == "RGB" and type(picture) is Image.Image:
        return picture
    return picture.convert("RGB")


def _from_16_bit(picture: Image.Image, name: str) -> Image.Image:
    """Pillow's modes I;16 and I (which its readers scale to 16 bits) as 8-bit greyscale: 65535 →
    255.
    """
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{name} has 32-bit integer pixels up to {values.max()}; expected 8 or 16 bits. Save it"
            " as an 8-bit picture first."
        )
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return first_line(error)


def from_data_url(url: str, max_pixels: int = MAX_PIXELS) -> Image.Image | None:
    """The picture that a data URL holds; None where the address is of another kind. Raises
    ImageError as `decode` does.
    """
    start = _DATA_URL.match(url)
    if start is None:
        return None
    try:
        content = base64.b64decode(url[start.end() :], validate=True)
    except ValueError as error:
        raise ImageError(
            f"The picture's data URL is not base64 ({first_line(error)})."
        ) from None
    return decode(content, max_pixels)


def to_data_url(picture: Image.Image, compress_level: int = 6) -> str:
    """A picture as the data URL of a PNG file: every pixel as it is.

    Args:
        compress_level: zlib's, from 0 to 9. A prompted picture at 1 takes half the time of 6, and
            3 % more room (measured, see docs/log.md).
    """
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=compress_level)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def to_array(picture: Image.Image) -> NDArray[np.float32]:
    """A picture as ``3 height width`` in [0, 1]."""
    pixels = np.asarray(decode(picture), dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)


def to_picture(array: NDArray[np.floating]) -> Image.Image:
    """An array ``3 height width`` as a picture: values outside [0, 1] are clamped, then rounded to
    the nearest of 256 levels.
    """
    if array.ndim != 3 or array.shape[0] != 3:
        raise ImageError(
            f"An array of shape {array.shape} is not a picture; expected (3, height, width)."
        )
    clamped = np.clip(array, 0, 1)
    levels = np.rint(clamped * 255).astype(np.uint8)
    rows = levels.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(rows))
