import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from matboard.errors import ImageError
from matboard.images import MAX_PIXELS, SUFFIXES, decode, to_array, to_picture


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=format, **options)
    return stream.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def pixel(picture: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return picture.getpixel((x, y))


def bomb(width: int, height: int) -> bytes:
    """A PNG that only declares to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG"])
def test_decodes_every_format_of_the_list(format, tmp_path):
    options = {"lossless": True} if format == "WEBP" else {}
    (tmp_path / "x").write_bytes(
        encoded(Image.new("RGB", (6, 4), (200, 100, 50)), format, **options)
    )
    picture = decode(tmp_path / "x")
    assert picture.mode == "RGB"
    assert picture.size == (6, 4)
    assert type(picture) is Image.Image
    assert np.abs(np.array(pixel(picture)) - (200, 100, 50)).max() <= 2


def phone_picture(format: str, **options) -> bytes:
    """Red on the left, white on the right, as HEIC or AVIF."""
    picture = Image.new("RGB", (96, 64), "white")
    picture.paste("red", (0, 0, 48, 64))
    if format == "HEIF":
        stream = io.BytesIO()
        pixels = (picture.mode, picture.size, picture.tobytes())
        pillow_heif.encode(*pixels, stream, quality=90, **options)
        return stream.getvalue()
    return encoded(picture, format, quality=90, **options)


def with_size(content: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its header (the box ``ispe``)."""
    place = content.index(b"ispe") + 8
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "JPEG"])
def test_what_phones_and_browsers_save_is_read(format, tmp_path):
    content = phone_picture(format)
    name = {"HEIF": "a.heic", "AVIF": "a.avif", "JPEG": "a.jfif"}[format]
    assert Path(name).suffix in SUFFIXES
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, content):
        picture = decode(source)
        assert (picture.mode, picture.size) == ("RGB", (96, 64))
        assert type(picture) is Image.Image
        for x, colour in ((8, (255, 0, 0)), (88, (255, 255, 255))):
            assert np.abs(np.array(pixel(picture, x, 32)) - colour).max() <= 12
    assert "HEIF" not in Image.OPEN  # nothing is registered with Pillow


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "JPEG"])
def test_what_phones_save_turned_is_set_upright_once(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(phone_picture(format, exif=exif.tobytes()))
    assert picture.size == (64, 96)
    assert pixel(picture, 32, 8)[1] < 12 and pixel(picture, 32, 88)[1] > 243


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_the_limits_hold_for_what_phones_save(format):
    content = phone_picture(format)
    with pytest.raises(ImageError, match=r"96×64 pixels; at most 1000 are allowed"):
        decode(content, max_pixels=1000)
    for size in ((60_000, 60_000), (0, 64), (8, 0)):
        with pytest.raises(ImageError):
            decode(with_size(content, *size))
    with pytest.raises(ImageError):
        decode(content[: len(content) // 2])


def test_a_heic_picture_larger_than_it_says_is_refused():
    with pytest.raises(ImageError, match=r"broken HEIF file: .*size signaled"):
        decode(with_size(phone_picture("HEIF"), 8, 8))


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_a_missing_decoder_is_named(format, monkeypatch):
    content = phone_picture(format)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    said = {
        "HEIF": "b is a HEIC picture, which is read with pillow-heif. Run: pip install"
        " 'matboard[heic]'.",
        "AVIF": "b is an AVIF picture, which is read with Pillow 11.3 or later. Run: pip install"
        " --upgrade pillow.",
    }
    with pytest.raises(ImageError) as caught:
        decode(content, name="b")
    assert str(caught.value) == said[format]


def test_16_bit_greyscale_keeps_its_brightness():
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    picture = decode(encoded(Image.fromarray(values)))
    assert [pixel(picture, x) for x in range(4)] == [
        (v, v, v) for v in (0, 1, 128, 255)
    ]


def test_pgm_with_16_bits_keeps_its_brightness():
    assert pixel(decode(b"P5 2 1 65535\n" + struct.pack(">HH", 65535, 32896))) == (
        255,
        255,
        255,
    )


def test_cmyk_becomes_rgb():
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    shown = pixel(decode(encoded(cyan, "JPEG")))
    assert np.abs(np.array(shown) - (0, 255, 255)).max() <= 3


@pytest.mark.parametrize(
    "mode, transparent",
    [
        ("RGBA", (9, 9, 9, 0)),
        ("LA", (9, 0)),
        ("RGBa", (0, 0, 0, 0)),
        ("La", (0, 0)),
    ],
)
def test_alpha_is_laid_on_the_background(mode, transparent):
    picture = Image.new(mode, (2, 2), transparent)
    assert pixel(decode(picture)) == (255, 255, 255)
    assert pixel(decode(picture, background=(0, 0, 255))) == (0, 0, 255)


def test_half_transparent_is_half_the_background():
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert pixel(decode(encoded(half))) == (127, 127, 127)


def test_palette_with_and_without_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    assert [pixel(decode(encoded(picture)), x) for x in (0, 1)] == [
        (255, 0, 0),
        (0, 255, 0),
    ]
    assert [pixel(decode(encoded(picture, transparency=0)), x) for x in (0, 1)] == [
        (255, 255, 255),
        (0, 255, 0),
    ]


@pytest.mark.parametrize("mode, value, expected", [("1", 1, 255), ("L", 77, 77)])
def test_greyscale_becomes_three_equal_channels(mode, value, expected):
    assert pixel(decode(encoded(Image.new(mode, (2, 2), value)))) == (expected,) * 3


def test_exif_rotation_is_applied_once():
    picture = Image.new("RGB", (20, 10), "black")
    picture.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90° to see it upright
    upright = decode(encoded(picture, exif=exif))
    assert upright.size == (10, 20)
    assert pixel(upright, 9, 0) == (255, 255, 255)
    assert decode(upright).size == (10, 20)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animated_gives_the_first_frame(format):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    assert pixel(
        decode(
            encoded(
                frames[0], format, save_all=True, append_images=frames[1:], **options
            )
        )
    ) == (255, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files_are_named(format, tmp_path):
    content = encoded(noise(64, 64), format)
    file = tmp_path / "half"
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"half (is a broken|cannot be read)"):
        decode(file)


def test_truncated_jpeg_sentence(tmp_path):
    content = encoded(noise(64, 64), "JPEG")
    (tmp_path / "a.jpg").write_bytes(content[:-200])
    with pytest.raises(
        ImageError,
        match=r"a\.jpg is a broken JPEG file: .*truncated.* Expected a whole one\.",
    ):
        decode(tmp_path / "a.jpg")


def test_huge_pictures_are_refused_before_they_are_decoded():
    with pytest.raises(
        ImageError,
        match=rf"has 9000×10000 pixels; at most {MAX_PIXELS} are allowed\. Shrink it first\.",
    ):
        decode(bomb(9000, 10000))
    with pytest.raises(
        ImageError, match=rf"declares more than {2 * MAX_PIXELS} pixels"
    ):
        decode(bomb(60000, 60000))
    with pytest.raises(ImageError, match=r"has 20×10 pixels; at most 100 are allowed"):
        decode(Image.new("RGB", (20, 10)), max_pixels=100)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(
        ImageError, match=r"notes\.png is not a picture; expected one of PNG, JPEG"
    ):
        decode(tmp_path / "notes.png")
    with pytest.raises(ImageError, match=r"The picture \(0 bytes\) is not a picture"):
        decode(b"")
    with pytest.raises(
        ImageError, match=r"gone\.png cannot be read: no such file or directory\."
    ):
        decode(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"cannot be read: is a directory\."):
        decode(tmp_path)


def test_postscript_is_never_interpreted():
    with pytest.raises(ImageError, match="is not a picture"):
        decode(encoded(Image.new("RGB", (4, 4)), "EPS"))


def test_pixels_without_a_range_are_refused():
    with pytest.raises(ImageError, match="32-bit float pixels, which state no range"):
        decode(Image.new("F", (2, 2), 0.5))
    with pytest.raises(ImageError, match="32-bit integer pixels up to 70000"):
        decode(Image.new("I", (2, 2), 70000))
    with pytest.raises(ImageError, match="is empty: 0×3 pixels"):
        decode(Image.new("RGB", (0, 3)))


def test_pipes_and_devices_are_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "endless.png")
    for file in (tmp_path / "endless.png", Path("/dev/zero")):
        with pytest.raises(
            ImageError, match=r"cannot be read: a pipe, socket or device, not a"
        ):
            decode(file)


def test_damaged_exif_data_leaves_the_picture_as_it_is_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    content = bytearray(encoded(Image.new("RGB", (20, 10), "red"), "JPEG", exif=exif))
    assert decode(bytes(content)).size == (10, 20)
    entry = content.index(
        struct.pack(">HH", 0x0112, 3)
    )  # tag, type 3: a number of 16 bits
    content[entry + 2 : entry + 4] = struct.pack(
        ">H", 5
    )  # type 5: a fraction, at an odd place
    assert decode(bytes(content)).size == (20, 10)


def test_whatever_a_decoder_raises_names_the_picture(monkeypatch):
    def broken(*_, **__):
        raise AttributeError("'IFDRational' object has no attribute 'encode'")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(
        ImageError, match=r"picture 3 cannot be read: 'IFDRational' object has no"
    ):
        decode(b"", name="picture 3")


WHOLE = {
    format: encoded(noise(12, 9), format)
    for format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
} | {format: phone_picture(format) for format in ("HEIF", "AVIF")}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_damage_gives_a_picture_or_an_image_error(format, data):
    content = bytearray(WHOLE[format])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(content), max_pixels=10_000)
    except ImageError:
        return
    assert picture.mode == "RGB"


def test_every_8_bit_picture_survives_the_array():
    ramp = np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    array = to_array(Image.fromarray(ramp))
    assert array.dtype == np.float32
    assert array.shape == (3, 16, 16)
    assert array.min() == 0.0
    assert array.max() == 1.0
    assert np.array_equal(np.asarray(to_picture(array)), ramp)


def test_to_picture_clamps_and_rounds_to_the_nearest_level():
    array = np.array([-0.5, 1.5, 0.4 / 255, 0.6 / 255])[None, None].repeat(3, 0)
    assert [pixel(to_picture(array), x)[0] for x in range(4)] == [0, 255, 0, 1]
    with pytest.raises(
        ImageError,
        match=r"shape \(4, 4, 3\) is not a picture; expected \(3, height, width\)",
    ):
        to_picture(np.zeros((4, 4, 3)))
