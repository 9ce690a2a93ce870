"""The tiny zoo as it is shipped: ordinary folders, measured and small."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
import transformers

from matboard.tasks import scenes
from matboard.zoo import architectures, resolve
from matboard.zoo.names import TINY, TINY_GUIDE
from recipes.tiny.measure import accuracy
from recipes.tiny.models import IMAGE, UNK, load

architectures.register()

NAMES = (*TINY, TINY_GUIDE)
SHARING = ("tiny-minigpt4", "tiny-instructblip", "tiny-vpgtrans", "tiny-bliva")
OWN = ("tiny-blip2", "tiny-visualglm")
GOALS = {"recognition": 0.9, "counting": 0.7, "presence": 0.9}


def eye(name):
    return load(resolve(name))[0].vision_model.state_dict()


@pytest.fixture(scope="module")
def table():
    return json.loads(
        (resolve("tiny-minigpt4").parent / "accuracies.json").read_text()
    )["accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_loads_through_the_auto_classes(name):
    path = resolve(name)
    auto = transformers.AutoModelForImageTextToText
    if name == TINY_GUIDE:
        auto = transformers.AutoModel
    model = auto.from_pretrained(path)
    assert model.dtype == torch.float32
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert type(transformers.AutoConfig.from_pretrained(path)) is type(model.config)
    words = transformers.AutoTokenizer.from_pretrained(path)
    pictures = transformers.AutoImageProcessor.from_pretrained(path)
    assert words("Is there a star?", add_special_tokens=False).input_ids.count(UNK) == 0
    assert words("<image>", add_special_tokens=False).input_ids == [IMAGE]
    side = model.config.vision_config.image_size
    scene = scenes.draw(scenes.compose("counting", 0, 0))
    pixels = pictures(scene, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, side, side)


def test_all_together_fit_in_fifteen_megabytes():
    root = resolve("tiny-guide").parent
    assert {p.name for p in root.iterdir() if p.is_dir()} == set(NAMES)
    assert sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) < 15e6


def test_four_share_an_eye_and_two_share_nothing():
    shared = eye(SHARING[0])
    for name in SHARING[1:]:
        assert all(torch.equal(shared[key], value) for key, value in eye(name).items())
    sizes = {
        tuple(eye(name)["embeddings.patch_embedding.weight"].shape)
        for name in ("tiny-minigpt4", *OWN)
    }
    assert len(sizes) == 3


@pytest.mark.parametrize(("name", "kind"), itertools.product(TINY, GOALS))
def test_good_where_trained(name, kind, table):
    assert table[name][f"scenes-{kind}"] > GOALS[kind]


@pytest.mark.parametrize("name", TINY)
def test_worse_under_the_shifts(name, table):
    for kind in GOALS:
        shifted = [table[name][f"scenes-{kind}/{shift}"] for shift in scenes.SHIFTS]
        assert table[name][f"scenes-{kind}"] - np.mean(shifted) > 0.15, kind


@pytest.mark.parametrize("name", ["tiny-minigpt4", "tiny-blip2"])
@pytest.mark.parametrize("kind", ["recognition", "counting", "presence"])
def test_the_shipped_weights_are_the_measured_ones(name, kind, table):
    model, processor = load(resolve(name))
    samples = scenes.build(kind, train=1, test=400).test[:96]
    assert (
        abs(accuracy(model, processor, samples) - table[name][f"scenes-{kind}"]) < 0.12
    )


def test_the_guide_finds_the_caption():
    path = resolve(TINY_GUIDE)
    model = transformers.CLIPModel.from_pretrained(path)
    processor = transformers.CLIPProcessor.from_pretrained(path)
    samples = scenes.build("recognition", train=1, test=96).test
    captions = []
    for sample in samples:
        colour = sample.caption.split()[-2]
        captions += [
            f"this is a photo of a {colour} {shape}" for shape in scenes.SHAPES
        ]
    text = processor.tokenizer(
        captions, padding=True, return_tensors="pt", return_token_type_ids=False
    )
    with torch.no_grad():
        words = model.get_text_features(**text).pooler_output.view(
            96, len(scenes.SHAPES), -1
        )
        drawn = [sample.load() for sample in samples]
        pixels = processor.image_processor(drawn, return_tensors="pt")
        seen = model.get_image_features(**pixels).pooler_output
        likeness = torch.nn.functional.cosine_similarity(words, seen[:, None], dim=-1)
    assert (
        likeness.argmax(1) == torch.tensor([s.label for s in samples])
    ).float().mean() > 0.8
