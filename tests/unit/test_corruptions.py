"""Corruptions: against recordings of their authors' package, and as conditions of tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matboard.errors import TaskError, UnknownName
from matboard.tasks import corruptions, load_task
from matboard.tasks.corruptions import KINDS, SEVERITIES, corrupt, frost
from matboard.tasks.corruptions.filters import motion_blurred, plasma, zoomed
from tests.golden.corruptions import kept, picture, seed

GOLDEN = Path(__file__).parents[1] / "golden/corruptions.npz"
EXACT = 1
"""Levels of 255 by which a value may differ where only the last digit of a sum can."""
LOOSER = {"elastic_transform": 3, "jpeg_compression": 8}
"""OpenCV moves pictures by whole 1/32 pixels; JPEG libraries may differ."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "frost"])
def test_the_authors_package_gives_the_same(golden, kind: str, size: int) -> None:
    for severity in SEVERITIES:
        random = np.random.RandomState(seed(size, kind, severity))
        found = corrupt(picture(size), kind, severity, random)
        expected = golden[f"{kind}-{severity}-{size}"].astype(int)
        difference = np.abs(kept(np.asarray(found), size) - expected)
        assert difference.max() <= LOOSER.get(kind, EXACT), severity
        assert difference.mean() < 0.2, severity
        clean = kept(np.asarray(picture(size)), size)
        assert np.abs(expected - clean).mean() > difference.mean()


def frosts(folder: Path, height: int, width: int) -> np.ndarray:
    """Five pictures of noise in place of frost."""
    folder.mkdir(parents=True)
    drawn = (
        np.random.RandomState(1).randint(0, 256, (height, width, 3)).astype(np.uint8)
    )
    for name in frost.FILES:
        Image.fromarray(drawn).save(folder / name, quality=100)
    return drawn


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATBOARD_DATA", str(tmp_path))
    monkeypatch.setattr(frost, "PACKAGE", "no_such_package")
    return tmp_path


def test_frost_is_part_of_a_picture_of_frost(data: Path) -> None:
    drawn = frosts(data / "frost", 300, 400).astype(float)
    random = np.random.RandomState(3)
    found = np.asarray(corrupt(picture(224), "frost", 5, random)).astype(float)
    again = np.random.RandomState(3)
    index, top, left = again.randint(5), again.randint(0, 76), again.randint(0, 176)
    assert frost.FILES[index].endswith("png")
    part = drawn[top : top + 224, left : left + 224]
    by_hand = np.clip(0.6 * np.asarray(picture(224)) + 0.75 * part, 0, 255)
    assert np.abs(found - np.floor(by_hand)).max() <= 1


def test_frost_fits_pictures_of_any_size(data: Path) -> None:
    frosts(data / "frost", 90, 200)
    for size in ((32, 32), (20, 60), (300, 500)):
        corrupt(Image.new("RGB", size), "frost", 1)


def test_frost_as_its_authors_have_it(golden) -> None:
    try:
        frost.frost_files()
    except TaskError:
        pytest.skip("pip install --no-deps imagecorruptions")
    for size in (32, 224):
        for severity in SEVERITIES:
            random = np.random.RandomState(seed(size, "frost", severity))
            found = corrupt(picture(size), "frost", severity, random)
            expected = golden[f"frost-{severity}-{size}"].astype(int)
            assert np.abs(kept(np.asarray(found), size) - expected).max() <= 2


def test_without_pictures_of_frost_it_says_how_to_get_them(data: Path) -> None:
    with pytest.raises(TaskError, match="Run: pip install --no-deps no_such_package"):
        load_task("scenes-counting/frost-1", train=2, test=2)


def test_a_name_with_an_ending_is_a_corrupted_task() -> None:
    clean = load_task("scenes-counting/noise", train=6, test=4)
    noisy = load_task("scenes-counting/noise/gaussian_noise-3", train=6, test=4)
    assert noisy.name == "scenes-counting/noise/gaussian_noise-3"
    assert [s.id for s in noisy.train] == [s.id for s in clean.train]
    assert [s.id for s in noisy.test] == [
        f"{s.id}/gaussian_noise-3" for s in clean.test
    ]
    assert noisy.test_fingerprint != clean.test_fingerprint
    assert noisy.train_fingerprint == clean.train_fingerprint
    one, again = noisy.test[0].load(), noisy.test[0].load()
    assert one.size == (224, 224)
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != noisy.test[1].load().tobytes()


def test_several_corrupted_tasks_read_their_pictures_once() -> None:
    bases: dict = {}
    names = ("scenes-counting/fog-1", "scenes-counting/fog-2")
    first, second = (load_task(n, train=2, test=2, bases=bases) for n in names)
    assert len(bases) == 1
    assert first.train is second.train
    assert first.test_fingerprint != second.test_fingerprint


def test_training_samples_held_out_to_be_judged_on_are_corrupted_too() -> None:
    noisy = load_task("scenes-counting/contrast-5", train=10, test=4)
    less, held = noisy.validation_split(0.3, seed=0)
    assert all(sample.id.endswith("/contrast-5") for sample in held.test)
    assert not any("contrast" in sample.id for sample in (*less.train, *held.train))
    assert (
        np.asarray(held.test[0].load()).std() < np.asarray(less.train[0].load()).std()
    )


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("scenes-counting/gausian_noise-3", UnknownName, "mean 'gaussian_noise'"),
        ("scenes-counting/fog-6", TaskError, "'fog' has severities 1 to 5, but 6 came"),
        ("scenes-countin/fog-3", UnknownName, "Did you mean 'scenes-counting'"),
    ],
)
def test_a_wrong_ending_is_said(name: str, error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        load_task(name)


def test_a_folder_of_that_name_is_the_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / f"set/fog-3/{part}/{name}").mkdir(parents=True)
            picture(8).save(tmp_path / f"set/fog-3/{part}/{name}/1.png")
    assert load_task("set/fog-3").test[0].load().tobytes() == picture(8).tobytes()
    assert len(load_task("set/fog-3/fog-3").test) == 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "frost"])
def test_every_kind_takes_pictures_that_are_not_square(kind: str) -> None:
    wide = Image.fromarray(np.asarray(picture(64))[:40])
    assert corrupt(wide, kind, 5).size == (64, 40)
    assert corrupt(picture(64).resize((100, 64)), kind, 1).size == (350, 224)


def test_a_motion_begins_at_each_pixel() -> None:
    """By hand: along the horizontal, weights of half a Gaussian."""
    x = np.zeros((3, 9))
    x[1, 6] = 255
    blurred = motion_blurred(x, 1, 1.0, 0.0)
    weights = np.exp([0, -0.5, -2])
    by_hand = np.floor(255 * weights / weights.sum())[::-1]
    np.testing.assert_array_equal(blurred[1, 4:7], by_hand)
    assert blurred[0].sum() == blurred[2].sum() == 0


def test_a_cloud_fills_zero_to_one_and_zooming_keeps_the_size() -> None:
    cloud = plasma(40, 300, 2.0, np.random.RandomState(0))
    assert cloud.shape == (40, 300)
    assert 0 <= cloud.min() < cloud.max() <= 1
    assert zoomed(np.zeros((40, 30, 3)), 1.3).shape == (40, 30, 3)


def test_names_are_split_from_the_right() -> None:
    assert corruptions.split_name("pope/random/zoom_blur-2") == (
        "pope/random",
        "zoom_blur",
        2,
    )
    assert corruptions.split_name("cifar10") is None
    assert corruptions.split_name("cifar10/fog") is None
