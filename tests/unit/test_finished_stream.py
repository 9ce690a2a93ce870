"""A stream whose fits are finished is not learned again, nor are its pictures encoded; what is gone
from its folder is made again.
"""

import json

import numpy as np
import pytest
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from matboard.analysis import Selection, pooled
from matboard.studies.config import ContinualConfig
from matboard.studies.reading import parse
from matboard.studies.streams import continual

CONFIG = {
    "task": {"name": "scenes-things", "train": 96, "test": 96},
    "stream": {"tasks": 2},
    "backbone": {"model": "tiny-vit"},
    "training": {"epochs": 1, "augment": False},
    "learners": {"l2p": {}, "image-prompt": {"side": 20}, "ridge": {}},
    "seeds": [0, 1],
}


def run_and_count(folder):
    """(how often any module of any network was called, the stages shown)."""
    calls = []
    hook = register_module_forward_pre_hook(
        lambda module, _: calls.append(type(module).__name__)
    )
    try:
        stages = {
            event.stage: event
            for event in continual(parse(ContinualConfig, CONFIG, "test"), folder)
        }
    finally:
        hook.remove()
    return len(calls), stages


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream") / "run"
    assert run_and_count(folder)[0] > 0
    return folder


def files_of(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_finished_run_is_left_as_it_is(finished):
    before = files_of(finished)
    calls, stages = run_and_count(finished)
    assert (calls, list(stages)) == (0, ["fits"])
    assert files_of(finished) == before


def test_nothing_is_encoded_where_every_fit_is_finished(finished):
    before = json.loads((finished / "results.json").read_text())
    (finished / "results.json").unlink()
    calls, stages = run_and_count(finished)
    assert calls == 0
    assert [event.detail for event in stages.values()] == ["found"] * 6
    after = json.loads((finished / "results.json").read_text())
    costs = ("seconds", "peak_memory_mb")
    assert {key: value for key, value in after.items() if key not in costs} == {
        k: v for k, v in before.items() if k not in costs
    }


@pytest.mark.parametrize(
    "gone",
    [
        "l2p-s1-*/selection.json",
        "ridge-s0-*/matrix.csv",
        "image-prompt-s0-*/pictures/3.png",
        "image-prompt-s0-*/results.json",
    ],
)
def test_what_is_gone_is_made_again(finished, gone):
    (file,) = (finished / "fits").glob(gone)
    before = file.read_bytes()
    file.unlink()
    calls, stages = run_and_count(finished)
    assert calls > 0
    assert file.read_bytes() == before
    assert sum(event.detail == "found" for event in stages.values()) == 5


def test_every_order_chooses_for_the_same_pictures(finished):
    orders = [
        Selection.from_json(json.loads(next(finished.glob(file)).read_text()))
        for file in ("fits/l2p-s0-*/selection.json", "fits/l2p-s1-*/selection.json")
    ]
    found = pooled(orders)
    assert found.permutations == 999
    assert found.mutual_information == pytest.approx(
        (orders[0].mutual_information + orders[1].mutual_information) / 2
    )


def test_a_picture_that_is_replaced_makes_other_fits(tmp_path):
    rng = np.random.default_rng(0)

    def draw(part, name, i):
        place = tmp_path / "data" / part / name / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(place)

    for part in ("train", "test"):
        for name in ("ape", "bee", "cow", "dog"):
            for i in range(2):
                draw(part, name, i)
    asked = {
        **CONFIG,
        "task": {"name": str(tmp_path / "data")},
        "learners": {"ridge": {}},
    }
    config = parse(ContinualConfig, asked, "test")
    list(continual(config, tmp_path / "run"))
    first = set((tmp_path / "run/fits").iterdir())
    draw("test", "dog", 1)
    list(continual(config, tmp_path / "run"))
    second = set((tmp_path / "run/fits").iterdir()) - first
    assert len(first) == len(second) == 2


def test_pictures_that_cannot_be_read_are_listed(tmp_path):
    for part in ("train", "test"):
        for shade, name in enumerate(("dark", "bright")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for number in range(3):
                picture = Image.new("RGB", (8, 8), (90 * shade + 40, 9 * number, 0))
                picture.save(tmp_path / "set" / part / name / f"{number}.png")
    broken = tmp_path / "set" / "train" / "dark" / "broken.png"
    broken.write_bytes(b"no picture")
    data = {"task": {"name": str(tmp_path / "set")}, "learners": {"ridge": {}}}
    config = {**CONFIG, **data, "seeds": [0]}
    list(continual(parse(ContinualConfig, config, "test"), tmp_path / "run"))
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (left,) = results["stream"]["skipped"]
    assert left["id"].endswith("dark/broken.png") and "cannot" in left["reason"]
    assert results["stream"]["train"] == 6
    assert any("Skipped 1 of the 13 files" in note for note in results["notes"])
