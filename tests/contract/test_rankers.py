"""What every dual encoder and every image classifier must keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rankers import (
    CLASSES,
    CLASSIFIERS,
    DUAL,
    classifier,
    dual_encoder,
    parts,
    tokenizer,
)
from torch import Tensor

from matboard.errors import ModelError, UnknownName
from matboard.models.capabilities import Generates, HasLikelihoods, require
from matboard.models.classifier import Classifier
from matboard.models.dual_encoder import DualEncoder
from matboard.models.label_mapping import LabelMapping
from matboard.models.processors.check import probe, to_tensor
from matboard.zoo import load_model

PICTURES = [probe(40, 40), probe(40, 40).rotate(90), probe(40, 40).rotate(180)]
QUESTIONS = ["what is this?", "a", "how many?"]
CANDIDATES = [["cat", "dog"], ["plane", "cat"], ["dog", "car"]]
MAPPING = LabelMapping(("cat", "dog", "plane", "car"), (5, 0, 2, 6))
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module", params=[*DUAL, *CLASSIFIERS])
def model(request: pytest.FixtureRequest) -> DualEncoder | Classifier:
    if request.param in DUAL:
        return dual_encoder(request.param)
    return classifier(request.param).mapped(MAPPING)


def scores(
    model: DualEncoder | Classifier, images: object, rows: slice = slice(None)
) -> Tensor:
    return model.candidate_log_likelihoods(images, QUESTIONS[rows], CANDIDATES[rows])


def test_a_batch_gives_what_its_pictures_give_alone(
    model: DualEncoder | Classifier,
) -> None:
    together = scores(model, PICTURES)
    for place in range(3):
        rows = slice(place, place + 1)
        alone = scores(model, PICTURES[rows], rows)
        torch.testing.assert_close(alone, together[rows], **CLOSE)


def test_both_routes_lead_to_the_same_scores(model: DualEncoder | Classifier) -> None:
    assert model.refusal is None
    pixels = to_tensor(PICTURES)
    torch.testing.assert_close(
        scores(model, pixels), scores(model, PICTURES), rtol=0.02, atol=0.02
    )


def test_gradient_reaches_the_pixels_and_nothing_else(
    model: DualEncoder | Classifier,
) -> None:
    pixels = to_tensor(PICTURES).requires_grad_()
    scores(model, pixels)[:, 0].sum().backward()
    assert pixels.grad is not None
    assert (pixels.grad.flatten(1).norm(dim=1) > 0).all()
    inner = model._guide.model if isinstance(model, DualEncoder) else model.model
    assert not inner.training
    assert all(not p.requires_grad and p.grad is None for p in inner.parameters())


def test_features_are_had_at_every_tap(model: DualEncoder | Classifier) -> None:
    assert "vision" in model.taps
    for tap in model.taps:
        found = model.visual_features(PICTURES, tap)
        assert found.ndim == 3 and len(found) == 3 and found.dtype == torch.float32
        pixels = to_tensor(PICTURES).requires_grad_()
        model.visual_features(pixels, tap).square().sum().backward()
        assert pixels.grad is not None and pixels.grad.abs().max() > 0
    with pytest.raises(UnknownName, match=r"Unknown tap of \w+ 'qformer'"):
        model.visual_features(PICTURES, "qformer")


def test_what_they_lack_is_said(model: DualEncoder | Classifier) -> None:
    said = "cannot tell the likelihood of an answer"
    with pytest.raises(ModelError, match=said):
        require(model, HasLikelihoods, doing="task loss")
    with pytest.raises(ModelError, match="cannot generate answers"):
        require(model, Generates, doing="judging by generation")


def test_uneven_batches_are_refused(model: DualEncoder | Classifier) -> None:
    with pytest.raises(ModelError, match=r"belong together one to one.*\[3, 2, 3\]"):
        model.candidate_log_likelihoods(PICTURES, QUESTIONS[:2], CANDIDATES)
    ragged = [["cat"], ["dog", "cat"], ["dog", "car"]]
    with pytest.raises(ModelError, match="same number of candidates"):
        model.candidate_log_likelihoods(PICTURES, QUESTIONS, ragged)


@pytest.mark.parametrize("name", DUAL)
def test_similarities_are_those_of_a_naive_second_implementation(name: str) -> None:
    templates = ("This is a photo of a {}", "a drawing of the {}")
    model = dual_encoder(name, templates=templates)
    found = scores(model, PICTURES)
    net, processor = parts(name)
    net.eval()
    read = tokenizer()
    padding = {"padding": "max_length", "max_length": 12}
    options = padding if name.startswith("siglip") else {}
    for row, picture in enumerate(PICTURES):
        inputs = processor(picture, return_tensors="pt")
        image = net.get_image_features(**inputs).pooler_output[0]
        image = image / image.norm()
        for column, candidate in enumerate(CANDIDATES[row]):
            mean = torch.zeros(16)
            for template in templates:
                caption = template.format(candidate)
                ids = read([caption], return_tensors="pt", **options)
                text = net.get_text_features(**ids).pooler_output[0]
                mean += text / text.norm() / len(templates)
            expected = net.logit_scale.exp() * image @ (mean / mean.norm())
            torch.testing.assert_close(found[row, column], expected, **CLOSE)


def test_captions_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dual_encoder("clip")
    scores(model, PICTURES)
    monkeypatch.setattr(model._guide, "text_features", None)
    scores(model, PICTURES)


@pytest.mark.parametrize(
    ("templates", "came"), [((), "none came"), (("a photo",), "'a photo' came")]
)
def test_templates_without_a_place_for_the_candidate_are_refused(
    templates: tuple[str, ...], came: str
) -> None:
    said = f"The caption templates of clip need {{}} where a candidate stands; {came}"
    with pytest.raises(ModelError, match=said):
        dual_encoder("clip", templates=templates)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_candidates_score_what_their_classes_score(name: str) -> None:
    model = classifier(name).mapped(MAPPING)
    found = scores(model, PICTURES)
    net, processor = parts(name)
    net.eval()
    place = dict(zip(MAPPING.answers, MAPPING.classes, strict=True))
    for row, picture in enumerate(PICTURES):
        logits = net(**processor(picture, return_tensors="pt")).logits[0]
        assert len(logits) == model.classes == CLASSES
        expected = logits[[place[candidate] for candidate in CANDIDATES[row]]]
        torch.testing.assert_close(found[row], expected, **CLOSE)


def test_a_classifier_without_a_mapping_says_so() -> None:
    bare = classifier("vit")
    with pytest.raises(ModelError, match="vit knows 7 classes of its own, and nobody"):
        scores(bare, PICTURES)
    mapped = bare.mapped(LabelMapping(("cat",), (1,)))
    assert bare.mapping is None
    with pytest.raises(ModelError, match="No class stands for the answer 'dog'"):
        scores(mapped, PICTURES)


# transformers gives Siglip2 a tokenizer of its own, whatever lies in the folder
@pytest.mark.parametrize("name", ["clip", "siglip", *CLASSIFIERS])
def test_a_folder_is_known_for_what_it_is(name: str, tmp_path: Path) -> None:
    for part in (*parts(name), *([tokenizer()] if name in DUAL else [])):
        part.save_pretrained(tmp_path)
    kind = DualEncoder if name in DUAL else Classifier
    loaded = load_model(str(tmp_path), device="cpu")
    assert isinstance(loaded, kind) and loaded.name == str(tmp_path)
    made = dual_encoder(name) if name in DUAL else classifier(name)
    assert loaded.encoder == made.encoder
    if isinstance(loaded, Classifier):
        loaded = loaded.mapped(MAPPING)
        made = classifier(name).mapped(MAPPING)
    torch.testing.assert_close(scores(loaded, PICTURES), scores(made, PICTURES))


def test_an_option_of_another_kind_is_refused(tmp_path: Path) -> None:
    for part in parts("vit"):
        part.save_pretrained(tmp_path)
    said = r"option of .*, which is an image classifier, 'templates'\. Known: device"
    with pytest.raises(UnknownName, match=said):
        load_model(str(tmp_path), templates=["a {}"])
    random = load_model(str(tmp_path), mapping="random")
    assert random.settings == "label mapping random"
