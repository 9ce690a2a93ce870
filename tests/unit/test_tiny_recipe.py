"""The recipe of the tiny zoo: its pictures, its text and its lessons, a few steps of each."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from matboard.errors import ModelError
from matboard.tasks import scenes
from matboard.zoo import resolve
from recipes.tiny import lessons
from recipes.tiny.measure import measure
from recipes.tiny.models import GUIDE, QUERIES, load
from recipes.tiny.pictures import CELLS, NO_LABEL, _framed, gallery
from recipes.tiny.text import Encoder
from recipes.tiny.training import Effort, train


def test_a_prompt_is_worded_as_the_family_wants():
    worded = {}
    for name in ("tiny-minigpt4", "tiny-visualglm", "tiny-instructblip", "tiny-blip2"):
        processor = transformers.AutoProcessor.from_pretrained(resolve(name))
        batch = Encoder(processor, name == "tiny-blip2")(["Is there a star?"], ["no"])
        read = processor.tokenizer.decode(batch["input_ids"][0])
        assert read.count("<image>") == QUERIES
        answer = batch["labels"][0][batch["labels"][0] >= 0]
        assert processor.tokenizer.decode(answer) == "no </s>"
        worded[name] = read.replace("<image> " * QUERIES, "@ ")
    assert worded == {
        "tiny-minigpt4": (
            "<s> ### human : < img > @ </ img > is there a star ? ### assistant : no </s>"
        ),
        "tiny-visualglm": "<s> < img > @ </ img > q : is there a star ? a : no </s>",
        "tiny-instructblip": "@ <s> is there a star ? no </s>",
        "tiny-blip2": "@ is there a star ? </s>",
    }


def test_the_instruction_and_not_the_answer_goes_to_the_qformer():
    processor = transformers.AutoProcessor.from_pretrained(resolve("tiny-instructblip"))
    batch = Encoder(processor, False)(
        ["Is there a star?", "What is the shape?"], ["no", "star"]
    )
    read = processor.qformer_tokenizer.decode(batch["qformer_input_ids"][0])
    assert read == "<s> is there a star ?"
    assert batch["qformer_attention_mask"].shape == batch["qformer_input_ids"].shape


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return gallery(60, 6, 64, tmp_path_factory.mktemp("gallery") / "pictures.npz")


def test_patch_labels_lie_where_the_things_are(pictures):
    assert (pictures.frames[:, 2] < 1).any()
    assert (pictures.frames[:, 2] == 1).any()
    assert pictures.patch_labels[..., 2].sum(1).tolist() == [
        len(s.things) for s in pictures.shown
    ]
    covered = pictures.patch_silhouettes.mean(-1)
    named = pictures.patch_labels[..., 0] != NO_LABEL
    assert covered[named].mean() > 0.3
    assert covered[~named].mean() < 0.1
    for labels, scene in zip(
        pictures.patch_labels[::4], pictures.shown[::4], strict=True
    ):
        assert set(labels[:, 0].tolist()) <= {
            scenes.SHAPES.index(scene.things[0].shape),
            NO_LABEL,
        }


def test_silhouette_cells_belong_to_their_patch(pictures):
    cells = CELLS
    for patch in (0, 8, 35):
        row, column = divmod(patch, 6)
        block = pictures.silhouettes[
            :, row * cells : (row + 1) * cells, column * cells : (column + 1) * cells
        ]
        assert np.allclose(
            pictures.patch_silhouettes[:, patch].numpy() * 255,
            block.reshape(len(block), -1),
        )


def test_a_batch_is_what_the_official_processor_makes(pictures):
    processor = transformers.AutoImageProcessor.from_pretrained(
        resolve("tiny-minigpt4")
    )
    rows = torch.tensor([i for i in range(64) if pictures.frames[i, 2] == 1][:4])
    framed = [
        _framed(scenes.draw(pictures.shown[i]), pictures.frames[i], 0) for i in rows
    ]
    assert torch.allclose(
        pictures.batch(rows),
        processor(framed, return_tensors="pt")["pixel_values"],
        atol=1e-5,
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
    stayed = []
    lesson = lessons.teach_model

    def watched(model, *rest):
        before = {
            name: weight.clone()
            for name, weight in model.language_model.state_dict().items()
        }
        yield from lesson(model, *rest)
        stayed.append(
            all(
                torch.equal(before[name], weight)
                for name, weight in model.language_model.state_dict().items()
            )
        )

    monkeypatch.setattr(lessons, "teach_model", watched)
    (said,) = train(
        "tiny-blip2",
        tmp_path,
        Effort(pictures=64, eye=21, language=200, joining=21, model=21),
    )
    assert float(said.split()[-1]) < 1.5, (
        "guessing among the answers of 8 shapes costs about 2"
    )
    assert stayed == [True, False]


def test_the_recipe_runs_and_leaves_a_shared_eye_alone(tmp_path, one_thread):
    effort = Effort(pictures=64, eye=21, language=21, joining=21, model=21, guide=21)
    with pytest.raises(
        ModelError,
        match=(
            r"A model that starts from tiny-instructblip was to be trained, but .* train"
            r" tiny-instructblip first"
        ),
    ):
        list(train("tiny-bliva", tmp_path, effort))
    for name in ("tiny-minigpt4", "tiny-instructblip", "tiny-bliva", GUIDE):
        assert list(train(name, tmp_path, effort)) == []
    lender, borrower = (
        load(tmp_path / name)[0] for name in ("tiny-minigpt4", "tiny-bliva")
    )
    assert sorted(p.name for p in tmp_path.glob("eye-*")) == [
        "eye-tiny-guide.safetensors",
        "eye-tiny-minigpt4.safetensors",
    ]
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            lender.vision_model.parameters(),
            borrower.vision_model.parameters(),
            strict=True,
        )
    )
    measured = measure(tmp_path, count=4)
    assert set(measured) == {"tiny-minigpt4", "tiny-instructblip", "tiny-bliva"}
    assert set(measured["tiny-bliva"]) == set(scenes.NAMES)
    assert json.loads((tmp_path / "accuracies.json").read_text()) == {
        "samples": 4,
        "accuracy": measured,
    }
