import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.errors import ConfigError, PromptError, UnknownName
from matboard.images import to_array
from matboard.prompts.artifact import RANGES
from matboard.prompts.canvas import POLICIES, Canvas, Patch
from matboard.prompts.pixel import PixelPrompt, clamp_straight_through

GEOMETRIES = {"border": (5, None), "patch": (0, Patch(9, 3, 7)), "full": (0, None)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(
    layout: str = "border",
    range: str = "clamped",
    resolution=None,
    policy: str = "crop",
    random: bool = True,
) -> PixelPrompt:
    width, patch = GEOMETRIES[layout]
    return PixelPrompt(
        Canvas(33, width, policy),
        layout,
        range,
        patch,
        resolution,
        generator() if random else None,
    )


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize(
    "layout, range, resolution", itertools.product(GEOMETRIES, RANGES, (None, 4))
)
@pytest.mark.parametrize(
    "picture, policy",
    [
        ((40, 40), "crop"),
        ((61, 37), "crop"),
        ((20, 47), "squash"),
        ((61, 37), "letterbox"),
    ],
)
def test_what_trained_is_what_is_applied(layout, range, resolution, picture, policy):
    prompt = build(layout, range, resolution, policy)
    picture = noise(*picture)
    shrunk = torch.from_numpy(to_array(prompt.canvas.shrink(picture)))
    trained = prompt(shrunk[None])[0].detach().numpy()
    if range == "free":
        trained = trained.clip(0, 1)
    applied = np.asarray(prompt.to_artifact().apply(picture)).transpose(2, 0, 1)
    assert np.abs(trained * 255 - applied).max() <= 0.5 + 1e-4


def naive_composed(prompt: PixelPrompt, inner: np.ndarray) -> np.ndarray:
    """X_p of TVP Eq. 2 pixel by pixel, full resolution, clamped."""
    size = prompt.canvas.size
    width = prompt.canvas.width
    delta = prompt.delta.detach().numpy()
    patch = prompt.patch or Patch(size)
    composed = np.zeros((3, size, size))
    for c, y, x in itertools.product((0, 1, 2), range(size), range(size)):
        on_picture = width <= y < size - width and width <= x < size - width
        value = inner[c, y - width, x - width] if on_picture else 0.0
        in_patch = 0 <= y - patch.top < patch.side and 0 <= x - patch.left < patch.side
        if in_patch and (prompt.layout != "border" or not on_picture):
            value += delta[c, y - patch.top, x - patch.left]
        composed[c, y, x] = min(max(value, 0.0), 1.0)
    return composed


@pytest.mark.parametrize("layout", GEOMETRIES)
def test_composition_is_the_papers(layout):
    prompt = build(layout)
    images = torch.rand(
        1, 3, prompt.canvas.inner, prompt.canvas.inner, generator=generator(3)
    )
    ours = prompt(images)[0].detach().numpy()
    assert np.abs(ours - naive_composed(prompt, images[0].numpy())).max() < 1e-6


@pytest.mark.parametrize("layout, range", itertools.product(GEOMETRIES, RANGES))
def test_zero_outside_its_region_and_random_within_its_range(layout, range):
    prompt = build(layout, range)
    perturbation = prompt.perturbation().detach()
    mask = prompt.mask[0].bool()
    assert not perturbation[:, ~mask].any()
    low = 0.0 if layout == "border" else -1.0
    values = perturbation[:, mask]
    assert low <= values.min() < low + 0.2
    assert 0.8 < values.max() <= 1.0
    assert torch.equal(perturbation, build(layout, range).perturbation())


@pytest.mark.parametrize("layout", GEOMETRIES)
def test_starts_from_zero_as_in_the_paper(layout):
    prompt = build(layout, random=False)
    images = torch.rand(
        2, 3, prompt.canvas.inner, prompt.canvas.inner, generator=generator()
    )
    assert torch.equal(prompt(images), prompt.place(images))
    assert [name for name, _ in prompt.named_parameters()] == ["delta"]


@pytest.mark.parametrize("range", RANGES)
def test_starts_from_a_level_when_told(range):
    prompt = PixelPrompt(Canvas(33, 5), "border", range, level=0.5)
    artefact = prompt.to_artifact()
    expected = np.where(artefact.region, 0.5, 0.0)[None].repeat(3, axis=0)
    np.testing.assert_allclose(artefact.perturbation, expected, atol=1e-6)
    np.testing.assert_allclose(
        artefact.perturbation, artefact.flat(0.5).perturbation, atol=1e-6
    )
    assert artefact.config["level"] == 0.5
    assert artefact.flat(0.5).apply(Image.new("RGB", (23, 23))).getpixel((0, 0)) == (
        128,
        128,
        128,
    )


def test_free_leaves_the_range_and_the_others_do_not():
    for name in RANGES:
        prompt = build("full", name)
        prompt.delta.data.mul_(3)
        out = prompt(torch.rand(2, 3, 33, 33, generator=generator()))
        assert (out.min() < 0 and out.max() > 1) == (name == "free")


@pytest.mark.parametrize("start", [-0.5, 0.0, 1.0, 1.5])
def test_saturated_pixels_still_learn(start):
    prompt = build(random=False)
    prompt.delta.data.fill_(start)
    weights = torch.randn(3, 33, 33, generator=generator())
    (prompt(torch.rand(2, 3, 23, 23)) * weights).sum().backward()
    assert torch.allclose(prompt.delta.grad, 2 * weights * prompt.mask)


def test_straight_through_clamp_is_exact_forwards():
    values = torch.linspace(-3, 3, 1001)
    assert torch.equal(clamp_straight_through(values), values.clamp(0, 1))


@pytest.mark.parametrize("layout", GEOMETRIES)
def test_projection_stops_drift(layout):
    prompt = build(layout)
    values = 9 * prompt.delta.detach() - 4
    projected = prompt.projected(values)
    low = 0.0 if layout == "border" else -1.0
    assert (projected.min(), projected.max()) == (low, 1.0)
    assert torch.equal(build(layout, "free").projected(values), values)


def test_low_resolution_is_constant_where_the_small_prompt_is():
    prompt = build("full", resolution=3, random=False)
    prompt.delta.data.fill_(0.25)
    assert torch.allclose(prompt.perturbation(), torch.tensor(0.25))
    assert prompt.delta.shape == (3, 3, 3)


def test_gradient_reaches_every_pixel_of_the_picture():
    images = (
        torch.rand(1, 3, 40, 30, generator=generator())
        .mul(0.8)
        .add(0.1)
        .requires_grad_()
    )
    build("border", policy="squash")(images).square().sum().backward()
    assert (images.grad != 0).all()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("picture", [(64, 64), (60, 40), (40, 60), (45, 91)])
def test_other_sizes_are_resized_as_pillow_does(policy, picture):
    """Smooth pictures: the two bicubic filters agree to a few levels; where the crop starts between
    pixels, to its shift.
    """
    width, height = picture
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    picture = Image.fromarray((np.stack([x, y, x * y], -1) * 255).astype(np.uint8))
    prompt = build(policy=policy, random=False)
    ours = prompt.place(torch.from_numpy(to_array(picture))[None])[0]
    official = to_array(prompt.canvas.place(prompt.canvas.shrink(picture)))
    assert np.abs(ours.numpy() - official).max() < 0.03
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_shrinking_tensors_does_not_alias():
    """Fourfold shrinking of noise: without antialiasing torch would be far from Pillow; with it,
    two 8-bit roundings away.
    """
    values = np.random.default_rng(0).integers(64, 192, (92, 92, 3), dtype=np.uint8)
    prompt = build(random=False)
    picture = Image.fromarray(values)
    ours = prompt.place(torch.from_numpy(to_array(picture))[None])[0].numpy()
    official = to_array(prompt.canvas.place(prompt.canvas.shrink(picture)))
    assert np.abs(ours - official).max() < 2 / 255


@pytest.mark.parametrize("layout, range", itertools.product(GEOMETRIES, RANGES))
def test_artefact_and_back(layout, range):
    prompt = build(layout, range)
    again = PixelPrompt.from_artifact(prompt.to_artifact({"seed": 3}))
    assert torch.allclose(again.perturbation(), prompt.perturbation(), atol=1e-6)
    assert prompt.to_artifact({"seed": 3}).config["seed"] == 3


def test_a_diverged_prompt_cannot_be_saved():
    prompt = build()
    prompt.delta.data[0, 0, 0] = torch.nan
    with pytest.raises(PromptError, match="not finite"):
        prompt.to_artifact()


def test_wrong_words_and_numbers():
    with pytest.raises(
        UnknownName, match=r"Unknown value range 'clamp'\. Did you mean 'clamped'"
    ):
        PixelPrompt(range="clamp")
    with pytest.raises(ConfigError, match="A resolution of 34 came; expected 1 to 33"):
        build("full", resolution=34)
    with pytest.raises(
        ConfigError, match=r"A level of 1\.5 came; expected 0 to 1 for a border prompt"
    ):
        PixelPrompt(level=1.5)
    with pytest.raises(ConfigError, match="and no generator beside it"):
        PixelPrompt(level=0.5, generator=generator())


PICTURES = "came; expected a PIL picture, a picture's file, or an array of pixels."
SLIPS = """
import numpy as np, torch, matboard
from matboard.errors import MatboardError
prompt = matboard.PixelPrompt(matboard.Canvas(24, 4)).to_artifact()
for slip in (
    lambda: matboard.PixelPrompt(224),
    lambda: matboard.Canvas(24.5),
    lambda: matboard.Canvas("24"),
    lambda: prompt.apply(3),
    lambda: prompt.apply(torch.zeros(3, 8, 8)),
    lambda: prompt.apply("gone.jpg"),
    lambda: prompt.apply(np.zeros((8, 8))),
    lambda: prompt.apply(np.full((3, 8, 8), 255.0)),
):
    try:
        print("accepted", slip())
    except MatboardError as error:
        print(error)
"""


def test_slips_of_the_pen_are_told_in_a_sentence():
    """In a process of its own: here the types of arguments are checked before any of it runs."""
    done = subprocess.run([sys.executable, "-c", SLIPS], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "A canvas 224 came; expected a Canvas, such as Canvas(size=224, width=30).",
        "A canvas of size 24.5 came; expected a whole number of pixels.",
        "A canvas of size '24' came; expected a whole number of pixels.",
        f"A value of type int {PICTURES}",
        f"A value of type Tensor {PICTURES}",
        "gone.jpg cannot be read: no such file or directory.",
        "An array of float64 and shape (8, 8) came; expected uint8 as (height, width, 3), or"
        " floats in [0, 1] as (3, height, width).",
        "An array of float64 and shape (3, 8, 8) came; expected uint8 as (height, width, 3), or"
        " floats in [0, 1] as (3, height, width).",
    ], done.stderr


def test_files_and_arrays_are_pictures_too(tmp_path):
    picture = noise(30, 20)
    picture.save(tmp_path / "a.png")
    prompt = build().to_artifact()
    expected = prompt.apply(picture).tobytes()
    for source in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert prompt.apply(source).tobytes() == expected
    assert prompt.apply(np.asarray(picture)).tobytes() == expected
    assert prompt.apply(to_array(picture)).tobytes() == expected
