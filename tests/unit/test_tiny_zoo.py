"""The tiny zoo as it is shipped, and the recipe that made it."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
import transformers

from matboard.errors import ModelError, UnknownName
from matboard.tasks import scenes
from matboard.zoo import tiny, tiny_lessons

SHARING = ("tiny-minigpt4", "tiny-instructblip", "tiny-vpgtrans", "tiny-bliva")
OWN = ("tiny-blip2", "tiny-visualglm")
GOALS = {"recognition": 0.9, "counting": 0.7, "presence": 0.9}


def eye(name):
    return tiny.load(tiny.folder(name))[0].vision_model.state_dict()


@pytest.fixture(scope="module")
def table():
    return json.loads((tiny.folder("tiny-minigpt4").parent / "accuracies.json").read_text())[
        "accuracy"
    ]


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_folder_loads_through_the_auto_classes(name):
    path = tiny.folder(name)
    auto = (
        transformers.AutoModel if name == tiny.GUIDE else transformers.AutoModelForImageTextToText
    )
    model = auto.from_pretrained(path)
    assert model.dtype == torch.float32 and all(torch.isfinite(p).all() for p in model.parameters())
    assert type(transformers.AutoConfig.from_pretrained(path)) is type(model.config)
    words, pictures = (
        transformers.AutoTokenizer.from_pretrained(path),
        transformers.AutoImageProcessor.from_pretrained(path),
    )
    assert words("Is there a star?", add_special_tokens=False).input_ids.count(tiny.UNK) == 0
    assert words("<image>", add_special_tokens=False).input_ids == [tiny.IMAGE]
    side = model.config.vision_config.image_size
    assert pictures(scenes.draw(scenes.compose("counting", 0, 0)), return_tensors="pt")[
        "pixel_values"
    ].shape == (1, 3, side, side)


def test_all_together_fit_in_fifteen_megabytes():
    root = tiny.folder("tiny-guide").parent
    assert {p.name for p in root.iterdir() if p.is_dir()} == set(tiny.NAMES)
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


@pytest.mark.parametrize(("name", "kind"), itertools.product(tiny.RECIPES, GOALS))
def test_good_where_trained(name, kind, table):
    assert table[name][f"scenes-{kind}"] > GOALS[kind]


@pytest.mark.parametrize("name", tiny.RECIPES)
def test_worse_under_the_shifts(name, table):
    for kind in GOALS:
        shifted = [table[name][f"scenes-{kind}/{shift}"] for shift in scenes.SHIFTS]
        assert table[name][f"scenes-{kind}"] - np.mean(shifted) > 0.15, kind


@pytest.mark.parametrize("name", ["tiny-minigpt4", "tiny-blip2"])
@pytest.mark.parametrize("kind", ["recognition", "counting", "presence"])
def test_the_shipped_weights_are_the_measured_ones(name, kind, table):
    model, processor = tiny.load(tiny.folder(name))
    samples = scenes.build(kind, train=1, test=400).test[:96]
    assert abs(tiny.accuracy(model, processor, samples) - table[name][f"scenes-{kind}"]) < 0.12


def test_the_guide_finds_the_caption():
    path = tiny.folder(tiny.GUIDE)
    model, processor = (
        transformers.CLIPModel.from_pretrained(path),
        transformers.CLIPProcessor.from_pretrained(path),
    )
    samples = scenes.build("recognition", train=1, test=96).test
    captions = [
        f"this is a photo of a {s.caption.split()[-2]} {shape}"
        for s in samples
        for shape in scenes.SHAPES
    ]
    text = processor.tokenizer(
        captions, padding=True, return_tensors="pt", return_token_type_ids=False
    )
    with torch.no_grad():
        words = model.get_text_features(**text).pooler_output.view(96, len(scenes.SHAPES), -1)
        seen = model.get_image_features(
            **processor.image_processor([s.load() for s in samples], return_tensors="pt")
        ).pooler_output
        likeness = torch.nn.functional.cosine_similarity(words, seen[:, None], dim=-1)
    assert (likeness.argmax(1) == torch.tensor([s.label for s in samples])).float().mean() > 0.8


def test_a_prompt_is_worded_as_the_family_wants():
    worded = {}
    for name in ("tiny-minigpt4", "tiny-visualglm", "tiny-instructblip", "tiny-blip2"):
        processor = transformers.AutoProcessor.from_pretrained(tiny.folder(name))
        batch = tiny_lessons.Encoder(processor, name == "tiny-blip2")(["Is there a star?"], ["no"])
        read = processor.tokenizer.decode(batch["input_ids"][0])
        assert read.count("<image>") == tiny.QUERIES
        answer = batch["labels"][0][batch["labels"][0] >= 0]
        assert processor.tokenizer.decode(answer) == "no </s>"
        worded[name] = read.replace("<image> " * tiny.QUERIES, "@ ")
    assert worded == {
        "tiny-minigpt4": (
            "<s> ### human : < img > @ </ img > is there a star ? ### assistant : no </s>"
        ),
        "tiny-visualglm": "<s> < img > @ </ img > q : is there a star ? a : no </s>",
        "tiny-instructblip": "@ <s> is there a star ? no </s>",
        "tiny-blip2": "@ is there a star ? </s>",
    }


def test_the_instruction_and_not_the_answer_goes_to_the_qformer():
    processor = transformers.AutoProcessor.from_pretrained(tiny.folder("tiny-instructblip"))
    batch = tiny_lessons.Encoder(processor, False)(
        ["Is there a star?", "What is the shape?"], ["no", "star"]
    )
    assert (
        processor.qformer_tokenizer.decode(batch["qformer_input_ids"][0]) == "<s> is there a star ?"
    )
    assert batch["qformer_attention_mask"].shape == batch["qformer_input_ids"].shape


def test_an_unknown_name_is_named():
    with pytest.raises(
        UnknownName, match=r"Unknown tiny model 'tiny-minigpt'. Did you mean 'tiny-minigpt4'\?"
    ):
        tiny.folder("tiny-minigpt")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tiny_lessons.gallery(60, 6, 64, tmp_path_factory.mktemp("gallery") / "pictures.npz")


def test_patch_labels_lie_where_the_things_are(pictures):
    assert (pictures.frames[:, 2] < 1).any() and (pictures.frames[:, 2] == 1).any()
    assert pictures.patch_labels[..., 2].sum(1).tolist() == [len(s.things) for s in pictures.shown]
    covered = pictures.patch_silhouettes.mean(-1)
    named = pictures.patch_labels[..., 0] != tiny_lessons.NO_LABEL
    assert covered[named].mean() > 0.3 and covered[~named].mean() < 0.1
    for labels, scene in zip(pictures.patch_labels[::4], pictures.shown[::4], strict=True):
        assert set(labels[:, 0].tolist()) <= {
            scenes.SHAPES.index(scene.things[0].shape),
            tiny_lessons.NO_LABEL,
        }


def test_silhouette_cells_belong_to_their_patch(pictures):
    cells = tiny_lessons.CELLS
    for patch in (0, 8, 35):
        row, column = divmod(patch, 6)
        block = pictures.silhouettes[
            :, row * cells : (row + 1) * cells, column * cells : (column + 1) * cells
        ]
        assert np.allclose(
            pictures.patch_silhouettes[:, patch].numpy() * 255, block.reshape(len(block), -1)
        )


def test_a_batch_is_what_the_official_processor_makes(pictures):
    processor = transformers.AutoImageProcessor.from_pretrained(tiny.folder("tiny-minigpt4"))
    rows = torch.tensor([i for i in range(64) if pictures.frames[i, 2] == 1][:4])
    framed = [
        tiny_lessons._framed(scenes.draw(pictures.shown[i]), pictures.frames[i], 0) for i in rows
    ]
    assert torch.allclose(
        pictures.batch(rows), processor(framed, return_tensors="pt")["pixel_values"], atol=1e-5
    )


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small are slower on many
    yield
    torch.set_num_threads(threads)


def test_blip2s_language_model_learns_from_words_and_stays_as_it_is_while_it_is_joined(
    tmp_path, one_thread, monkeypatch
):
    stayed, lesson = [], tiny_lessons.teach_model

    def watched(model, *rest):
        before = {
            name: weight.clone() for name, weight in model.language_model.state_dict().items()
        }
        yield from lesson(model, *rest)
        stayed.append(
            all(
                torch.equal(before[name], weight)
                for name, weight in model.language_model.state_dict().items()
            )
        )

    monkeypatch.setattr(tiny_lessons, "teach_model", watched)
    (said,) = tiny.train(
        "tiny-blip2", tmp_path, tiny.Effort(pictures=64, eye=21, language=200, joining=21, model=21)
    )
    assert float(said.split()[-1]) < 1.5, "guessing among the answers of 8 shapes costs about 2"
    assert stayed == [True, False]


def test_the_recipe_runs_and_leaves_a_shared_eye_alone(tmp_path, one_thread):
    effort = tiny.Effort(pictures=64, eye=21, language=21, joining=21, model=21, guide=21)
    with pytest.raises(
        ModelError,
        match=(
            r"A model that starts from tiny-instructblip was to be trained, but .* train"
            r" tiny-instructblip first"
        ),
    ):
        list(tiny.train("tiny-bliva", tmp_path, effort))
    for name in ("tiny-minigpt4", "tiny-instructblip", "tiny-bliva", tiny.GUIDE):
        assert list(tiny.train(name, tmp_path, effort)) == []
    lender, borrower = (tiny.load(tmp_path / name)[0] for name in ("tiny-minigpt4", "tiny-bliva"))
    assert sorted(p.name for p in tmp_path.glob("eye-*")) == [
        "eye-tiny-guide.safetensors",
        "eye-tiny-minigpt4.safetensors",
    ]
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            lender.vision_model.parameters(), borrower.vision_model.parameters(), strict=True
        )
    )
    measured = tiny.measure(tmp_path, count=4)
    assert set(measured) == {"tiny-minigpt4", "tiny-instructblip", "tiny-bliva"} and set(
        measured["tiny-bliva"]
    ) == set(scenes.NAMES)
    assert json.loads((tmp_path / "accuracies.json").read_text()) == {
        "samples": 4,
        "accuracy": measured,
    }
