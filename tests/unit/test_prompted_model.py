"""A prompted model answers about pictures what its model answers about prompted pictures."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from plain_model import PlainModel

import matboard
from matboard.errors import ImageError, ModelError, PromptError
from matboard.models.capabilities import (
    ABILITIES,
    FrozenModel,
    Generates,
    Learnable,
    Ranks,
    require,
)
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.zoo import resolve

QUESTIONS = ["What is the shape?", "How many things are there?"]
CANDIDATES = [["ring", "star"], ["one", "two"]]


def noise(canvas: Canvas = Canvas(60, 10)) -> matboard.VisualPrompt:  # noqa: B008
    blank = np.zeros((3, canvas.size, canvas.size), dtype=np.float32)
    return matboard.VisualPrompt(canvas, blank).noise(seed=0)


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PICTURES = [picture(0), picture(1)]


@pytest.fixture(scope="module")
def model():
    return matboard.load_model("tiny-minigpt4")


@pytest.fixture(scope="module")
def prompted(model):
    return matboard.PromptedModel(model, noise())


def asked(model, pictures):
    options = {"candidates": CANDIDATES, "taps": ["vision"]}
    answer = model.answer(pictures, QUESTIONS, ["ring", "one"], **options)
    return {
        "answer": answer.negative_log_likelihood,
        "compared": answer.compared.log_likelihood,
        "tapped": answer.features["vision"],
        "loss": model.answer_loss(pictures, QUESTIONS, ["ring", "one"]),
        "ranks": model.candidate_log_likelihoods(pictures, QUESTIONS, CANDIDATES),
        "features": model.visual_features(pictures, "projector"),
        "words": model.generate(pictures, QUESTIONS, max_new_tokens=4),
        "by name": model.generate(images=pictures, questions=QUESTIONS),
    }


def same(one, other):
    for name, value in one.items():
        alike = other[name]
        assert value == alike if isinstance(value, list) else torch.equal(value, alike)


def test_whatever_takes_pictures_takes_prompted_ones(model, prompted, tmp_path):
    shown = asked(model, [noise().apply(one) for one in PICTURES])
    same(asked(prompted, PICTURES), shown)
    PICTURES[0].save(tmp_path / "a.png")
    mixed = [tmp_path / "a.png", np.asarray(PICTURES[1])]
    same(asked(prompted, mixed), shown)
    same(asked(prompted, np.stack([np.asarray(one) for one in PICTURES])), shown)
    untouched = asked(model, PICTURES)
    assert not torch.allclose(untouched["loss"], shown["loss"])
    with prompted.disabled():
        same(asked(prompted, PICTURES), untouched)
        same(asked(prompted, mixed), untouched)
    same(asked(prompted, PICTURES), shown)


def test_letting_the_prompt_out_nests_and_outlives_exceptions(model, prompted):
    def prompts() -> bool:
        plain = model.visual_features(PICTURES, "vision")
        return not torch.equal(prompted.visual_features(PICTURES, "vision"), plain)

    other = matboard.PromptedModel(model, noise())
    with pytest.raises(RuntimeError), prompted.disabled():
        with prompted.disabled():
            assert not prompts()
        assert not prompts()
        same(asked(other, PICTURES), asked(other, PICTURES))
        plain = model.visual_features(PICTURES, "vision")
        assert not torch.equal(other.visual_features(PICTURES, "vision"), plain)
        raise RuntimeError
    assert prompts()


@pytest.mark.parametrize("layout", ["border", "patch", "full"])
def test_tensors_are_prompted_as_in_learning(layout):
    canvas = Canvas(16, 4 if layout == "border" else 0)
    patch = Patch(top=2, left=3, side=5) if layout == "patch" else None
    generator = torch.Generator().manual_seed(0)
    learned = PixelPrompt(canvas, layout, patch=patch, generator=generator)
    prompted = matboard.PromptedModel(PlainModel(), learned.to_artifact())
    images = torch.rand(2, 3, 12, 20, requires_grad=True)
    loss = prompted.answer_loss(images, ["?", "?"], ["a", "ab"])
    wanted = PlainModel().answer_loss(learned(images), ["?", "?"], ["a", "ab"])
    assert torch.allclose(loss, wanted)
    loss.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_it_has_its_models_abilities_and_no_others(model, prompted):
    assert isinstance(prompted, matboard.PromptedModel)
    for ability in ABILITIES:
        assert isinstance(prompted, ability)
    plain = matboard.PromptedModel(PlainModel(), noise(Canvas(16, 4)))
    assert require(plain, Learnable, doing="a test") is plain
    with pytest.raises(ModelError, match=r"plain-0 \+ prompt .* cannot rank"):
        require(plain, Ranks, doing="a test")
    assert not isinstance(plain, Generates)


def test_it_says_what_it_is_and_leaves_the_model_alone(model, prompted):
    assert repr(prompted) == (
        "PromptedModel(tiny-minigpt4, VisualPrompt(border 10 of 60, clamped))"
    )
    assert prompted.original is model
    assert prompted.prompt.fingerprint == noise().fingerprint
    assert prompted.model is model.model
    assert prompted.tokenizer is model.tokenizer
    assert (prompted.encoder, prompted.weights) == (model.encoder, model.weights)
    assert prompted.settings.endswith(noise().fingerprint[:12])
    assert (prompted.refusal, prompted.taps) == (model.refusal, model.taps)
    assert (prompted.name, model.name) == ("tiny-minigpt4 + prompt", "tiny-minigpt4")
    with pytest.raises(AttributeError, match="nothing"):
        _ = prompted.nothing
    for again in (copy.copy(prompted), copy.deepcopy(prompted)):
        assert repr(again) == repr(prompted)
        assert again.visual_features(PICTURES, "vision").equal(
            prompted.visual_features(PICTURES, "vision")
        )


def test_it_stands_in_a_table_beside_its_model(model, prompted):
    task = matboard.load_task("scenes-recognition", train=10, test=10)
    table = matboard.evaluate(noise(), [model, prompted], [task])
    results = table.results()
    told = {(cell.model, cell.condition): cell.value for cell in results.cells}
    assert {name for name, _ in told} == {"tiny-minigpt4", "tiny-minigpt4 + prompt"}
    assert told["tiny-minigpt4 + prompt", "full"] == told["tiny-minigpt4", "prompt"]


class Maps(Ranks):
    """A model that makes others of itself, as a classifier does when it is given a mapping."""

    name = "maps"

    def __init__(self, bias: float = 0) -> None:
        self.bias = bias

    def candidate_log_likelihoods(self, images, questions, candidates, **_):
        means = [np.asarray(one).mean() + self.bias for one in images]
        return torch.tensor(means)[:, None]

    def mapped(self, bias: float) -> Maps:
        return Maps(bias)


def test_models_made_of_it_are_behind_the_prompt_too():
    prompted = matboard.PromptedModel(Maps(), noise())
    mapped = prompted.mapped(1.0)
    assert isinstance(mapped, FrozenModel) and isinstance(mapped, Ranks)
    ask = ([PICTURES[0]], ["?"], [["a"]])
    plain = np.asarray(PICTURES[0]).mean()
    shown = np.asarray(noise().apply(PICTURES[0])).mean()
    assert mapped.candidate_log_likelihoods(*ask).item() == pytest.approx(shown + 1)
    with prompted.disabled():
        assert mapped.candidate_log_likelihoods(*ask).item() == pytest.approx(plain + 1)


def test_a_transformers_model_gets_prompted_pictures_from_its_processor():
    folder = str(resolve("tiny-minigpt4"))
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    prompted = matboard.PromptedModel(model, noise(), processor)
    options = {"text": QUESTIONS, "return_tensors": "pt", "padding": True}

    def said(how, driven, pictures):
        return driven.generate(**how(images=pictures, **options), max_new_tokens=4)

    shown = said(processor, model, [noise().apply(one) for one in PICTURES])
    plain = said(processor, model, PICTURES)
    assert torch.equal(said(prompted.processor, prompted, PICTURES), shown)
    with prompted.disabled():
        assert torch.equal(said(prompted.processor, prompted, PICTURES), plain)
    inputs = prompted.processor(images=PICTURES, **options)
    untouched = processor(images=PICTURES, **options)["pixel_values"]
    assert not torch.equal(inputs["pixel_values"], untouched)
    assert torch.equal(prompted(**inputs).logits, model(**inputs).logits)
    assert prompted.eval() is prompted
    assert prompted.vision_model is model.vision_model
    assert not isinstance(prompted, FrozenModel)
    assert repr(prompted).startswith("PromptedModel(Blip2ForConditionalGeneration, ")
    again = pickle.loads(pickle.dumps(prompted))
    assert torch.equal(said(again.processor, again, PICTURES), shown)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (picture(0), "expected a list of pictures"),
        (torch.zeros(3, 9, 9), r"shape \(3, 9, 9\)"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "torch.uint8"),
        (np.zeros((9, 9, 3), np.uint8), "type ndarray"),
    ],
)
def test_what_is_no_pictures_is_said(prompted, images, sentence):
    with pytest.raises(ImageError, match=sentence):
        prompted.generate(images, ["?"])


def test_what_does_not_belong_together_is_said(model):
    with pytest.raises(ModelError, match="takes no pictures, its processor does"):
        matboard.PromptedModel(torch.nn.Linear(2, 2), noise())
    with pytest.raises(ModelError, match="prepares its pictures itself"):
        matboard.PromptedModel(model, noise(), processor=object())
    with pytest.raises(PromptError, match=r"PixelPrompt\.to_artifact"):
        matboard.PromptedModel(model, PixelPrompt(Canvas(60, 10)))
