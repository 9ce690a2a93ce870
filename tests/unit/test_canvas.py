import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from matboard.errors import ConfigError, ImageError, UnknownName
from matboard.prompts.canvas import POLICIES, Canvas, Patch, region


def noise(width: int, height: int) -> Image.Image:
    """Grey enough for bicubic overshoot to stay within 8 bits, where Pillow's choice of which axis
    to resize first would show.
    """
    return Image.fromarray(
        np.random.default_rng(0).integers(64, 192, (height, width, 3), dtype=np.uint8)
    )


def naive_placed(picture: Image.Image, size: int, width: int) -> np.ndarray:
    """T_p of TVP Eq. 2 as the authors' transforms do it: resize the short side, crop the centre,
    pad with zeros; loops.
    """
    inner = size - 2 * width
    short = min(picture.size)
    resized = picture.resize(
        (int(inner * picture.width / short), int(inner * picture.height / short)),
        Image.Resampling.BICUBIC,
    )
    pixels = np.asarray(resized)
    top = round((resized.height - inner) / 2)
    left = round((resized.width - inner) / 2)
    placed = np.zeros((size, size, 3), dtype=np.uint8)
    for y in range(inner):
        for x in range(inner):
            placed[y + width, x + width] = pixels[y + top, x + left]
    return placed


@pytest.mark.parametrize(
    "picture", [(32, 32), (300, 200), (123, 457), (51, 50), (7, 90)]
)
@pytest.mark.parametrize("size, width", [(64, 9), (65, 9), (40, 0)])
def test_placing_is_the_authors_transform(picture, size, width):
    """To 2 levels: Pillow rounds after each axis, and resizes the cropped box and the whole picture
    in different order of axes.

    Each route is off by at most 0.5 of the second rounding + 0.5 of the first, times bicubic's gain
    of 1.25; both together by 2.25.
    """
    canvas = Canvas(size, width)
    picture = noise(*picture)
    ours = np.asarray(canvas.place(canvas.shrink(picture))).astype(int)
    assert np.abs(ours - naive_placed(picture, size, width)).max() <= 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 50),
    st.integers(0, 30),
    st.sampled_from(POLICIES),
    st.floats(0, 1),
)
def test_any_picture_on_any_canvas(width, height, size, border, policy, offset):
    if 2 * border >= size:
        with pytest.raises(ConfigError, match="leaves no room for a picture"):
            Canvas(size, border, policy)
        return
    canvas = Canvas(size, border, policy)
    shrunk = canvas.shrink(Image.new("RGB", (width, height), "white"), offset)
    assert shrunk.size == (canvas.inner, canvas.inner)
    placed = np.asarray(canvas.place(shrunk))
    assert not placed[canvas.mask()].any()
    if policy != "letterbox":
        assert (placed[~canvas.mask()] == 255).all()


def test_mask_counts_the_papers_scalars():
    """TVP: 69,840 of the 224×224×3 values are learned at width 30."""
    assert 3 * Canvas().mask().sum() == 69840


def test_a_long_strip_is_not_blown_up():
    assert Canvas().shrink(Image.new("RGB", (1, 60_000), "red")).getpixel((80, 80)) == (
        255,
        0,
        0,
    )


def test_policies_differ_as_named():
    half = Image.new("RGB", (200, 100), "red")
    half.paste("blue", (100, 0, 200, 100))
    pixels = {
        policy: np.asarray(Canvas(100, 0, policy).shrink(half)) for policy in POLICIES
    }
    assert (pixels["crop"][0, 0] == (255, 0, 0)).all()
    assert (pixels["crop"][0, -1] == (0, 0, 255)).all()
    assert (pixels["squash"][0, 40] == (255, 0, 0)).all()
    assert (pixels["squash"][0, 60] == (0, 0, 255)).all()
    assert not pixels["letterbox"][:25].any()
    assert pixels["letterbox"][25:75].any(axis=-1).all()
    assert not pixels["letterbox"][75:].any()


def test_offset_and_mirror():
    ramp = Image.fromarray(
        np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3))
    )
    canvas = Canvas(100, 0)
    assert [
        canvas.shrink(ramp, offset).getpixel((0, 0))[0] for offset in (0.0, 0.5, 1.0)
    ] == [
        0,
        50,
        100,
    ]
    assert canvas.shrink(ramp, 0.0, mirror=True).getpixel((0, 0))[0] == 99
    with pytest.raises(
        ConfigError, match=r"crop offset of 1\.5 came; expected one from 0"
    ):
        canvas.shrink(ramp, 1.5)


def test_full_leaves_no_border():
    assert np.asarray(Canvas(50, 10).full(Image.new("RGB", (30, 20), "white"))).all()


def test_wrong_words_and_numbers():
    with pytest.raises(
        UnknownName, match=r"Unknown canvas policy 'sqash'\. Did you mean 'squash'"
    ):
        Canvas(policy="sqash")
    with pytest.raises(
        ConfigError,
        match=(
            r"A canvas of 60 pixels with a border of 30 leaves no room .* expected 0 ≤ 2·width <"
            r" size\."
        ),
    ):
        Canvas(60, 30)
    with pytest.raises(
        ImageError, match="A picture of 10×12 pixels came; expected 164×164"
    ):
        Canvas().place(noise(10, 12))


def test_region_says_where_a_prompt_acts():
    assert (region(Canvas(10, 2), "border") == Canvas(10, 2).mask()).all()
    assert region(Canvas(10, 0), "full").all()
    patch = region(Canvas(10, 0), "patch", Patch(3, 1, 2))
    assert {tuple(at) for at in np.argwhere(patch)} == {
        (y, x) for y in range(1, 4) for x in range(2, 5)
    }


@pytest.mark.parametrize(
    "canvas, layout, patch, sentence",
    [
        (
            Canvas(10, 2),
            "full",
            None,
            "Layout 'full' needs width 0, as it lies on the picture; the canvas has width 2",
        ),
        (
            Canvas(10, 0),
            "border",
            None,
            "Layout 'border' needs a width of at least 1; the canvas has width 0",
        ),
        (Canvas(10, 0), "patch", None, "layout 'patch' needs one"),
        (Canvas(10, 2), "border", Patch(2), "no other layout has any"),
        (
            Canvas(10, 0),
            "patch",
            Patch(5, 6, 0),
            "lies outside a canvas of 10×10 pixels",
        ),
        (Canvas(10, 0), "patch", Patch(0), "lies outside"),
        (Canvas(10, 0), "patch", Patch(5, -1, 0), "lies outside"),
        (Canvas(10, 0), "frame", None, "Unknown prompt layout 'frame'"),
    ],
)
def test_impossible_regions(canvas, layout, patch, sentence):
    with pytest.raises(ConfigError, match=sentence):
        region(canvas, layout, patch)
