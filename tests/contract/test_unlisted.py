"""Models that have no file of their own are driven by their own processors, or by a guess that says
so.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import pytest
import torch
from families import FAMILIES, Parts, tokenizer
from PIL import Image
from unlisted import UNLISTED

from matboard.errors import ModelError
from matboard.models.processors.check import probe
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.encode import Batch, divided, encode
from matboard.models.vlm.loading import load

QUESTIONS = ["what is this?", "how many cats are in the picture?"]
ANSWERS = ["a plane or two", "dog"]
CANDIDATES = [["a cat", "yes", "a plane or two"], ["y", "a dog", "no cats at all"]]
PICTURES = [probe(40, 40), probe(20, 80)]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
GUESSED = {"lfm2_vl"}


def drive(parts: Parts, name: str = "") -> HuggingFaceVLM:
    given = (parts.model, parts.image_processor, parts.tokenizer)
    return HuggingFaceVLM(*given, official=parts.official(), name=name)


@pytest.fixture(scope="module", params=UNLISTED)
def vlm(request: pytest.FixtureRequest) -> HuggingFaceVLM:
    return drive(UNLISTED[request.param](), request.param)


def own_loss(
    vlm: HuggingFaceVLM, picture: Image.Image, question: str, answer: str
) -> float:
    """The model's own forward over its own processor's outputs and the answer behind them."""
    assert vlm._official is not None
    own = vlm._official.processor
    own.image_processor._prepared.clear()  # it was shown blanks
    text = vlm.template.for_processor(question)
    added = {"add_special_tokens": False} if vlm.template.has_bos(text) else {}
    out = own(images=[[picture]], text=[text], return_tensors="pt", **added)
    own.image_processor._prepared.clear()
    answered = torch.tensor([vlm.template.answer_ids(question, answer, False)])
    whole = torch.cat([out["input_ids"], answered], 1)
    taken = inspect.signature(vlm.model.forward).parameters
    inputs = {name: value for name, value in out.items() if name in taken}
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            longer = (0, answered.shape[1])
            inputs[name] = torch.nn.functional.pad(inputs[name], longer)
    inputs |= {"input_ids": whole, "attention_mask": torch.ones_like(whole)}
    logits = vlm.model(**inputs).logits[0, -answered.shape[1] - 1 : -1]
    for module in vlm.model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None
    return float(
        torch.nn.functional.cross_entropy(logits, answered[0], reduction="sum")
    )


def test_the_loss_is_the_models_own_on_its_own_processors_outputs(
    vlm: HuggingFaceVLM,
) -> None:
    if vlm.name in GUESSED:
        pytest.skip("its processor needs torchvision")
    assert vlm.asks_officially
    ours = vlm.answer_loss(PICTURES, QUESTIONS, ANSWERS)
    each = zip(PICTURES, QUESTIONS, ANSWERS, strict=True)
    theirs = [own_loss(vlm, *sample) for sample in each]
    torch.testing.assert_close(ours, torch.tensor(theirs), **CLOSE)


def test_no_picture_tells_on_its_neighbour(vlm: HuggingFaceVLM) -> None:
    """Pictures of several sizes yield several numbers of visual tokens."""
    both = vlm.answer_loss(PICTURES, QUESTIONS, ANSWERS)
    said = vlm.generate(PICTURES, QUESTIONS, max_new_tokens=3)
    for i in range(2):
        one = (PICTURES[i : i + 1], QUESTIONS[i : i + 1])
        alone = vlm.answer_loss(*one, ANSWERS[i : i + 1])
        torch.testing.assert_close(alone[0], both[i], **CLOSE)
        assert vlm.generate(*one, max_new_tokens=3)[0] == said[i]


def test_candidates_score_as_separate_answers(vlm: HuggingFaceVLM) -> None:
    ranked = vlm.candidate_log_likelihoods(
        PICTURES, QUESTIONS, CANDIDATES, length_normalised=False
    )
    columns = [
        vlm.answer_loss(PICTURES, QUESTIONS, [row[k] for row in CANDIDATES])
        for k in range(3)
    ]
    torch.testing.assert_close(ranked, -torch.stack(columns, 1), **CLOSE)


def test_equal_pictures_have_equal_features(vlm: HuggingFaceVLM) -> None:
    for tap in vlm.taps:
        pair = vlm.visual_features(PICTURES[:1] * 2, tap)
        one = vlm.visual_features(PICTURES[:1], tap)[0]
        for feature in pair:
            torch.testing.assert_close(feature, one, **CLOSE)


def test_what_can_be_learned_on_gets_a_gradient_and_the_rest_says_why(
    vlm: HuggingFaceVLM,
) -> None:
    if vlm.refusal is not None:
        assert vlm.refusal.endswith(".")
        return
    noise = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    pixels = noise.requires_grad_()
    vlm.answer_loss(pixels, QUESTIONS, ANSWERS).sum().backward()
    assert pixels.grad is not None and (pixels.grad != 0).float().mean() > 0.99


def test_an_eye_without_a_gradient_is_refused_when_it_is_loaded() -> None:
    model = drive(UNLISTED["chameleon"]())
    sentence = (
        "No gradient passes through the vision encoder of ChameleonForConditionalGeneration to the"
        " pixels."
    )
    assert model.refusal == sentence
    assert model.answer_loss(PICTURES[:1], QUESTIONS[:1], ANSWERS[:1]).isfinite().all()


def test_a_model_that_nobody_can_ask_is_judged_with_a_warning_and_not_learned_on(
    tmp_path: Path,
) -> None:
    parts = UNLISTED["lfm2_vl"]()
    for part in (parts.model, parts.image_processor, parts.tokenizer):
        part.save_pretrained(tmp_path)
    guessed = "its prompts are matboard's guess, and it may answer worse than it could"
    with pytest.warns(UserWarning, match=guessed):
        loaded = load(str(tmp_path), device="cpu")
    assert loaded.guesses
    assert loaded.refusal is not None
    assert loaded.refusal.startswith(
        "How Lfm2VlForConditionalGeneration is asked is not known"
    )
    assert loaded.answer_loss(PICTURES, QUESTIONS, ANSWERS).isfinite().all()


def test_a_guess_is_said_even_where_the_image_processor_is_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = drive(UNLISTED["lfm2_vl"]())
    monkeypatch.setitem(vars(model.preprocess), "refusal", "Its pixels differ.")
    assert model.refusal is not None
    assert "matboard's guess" in model.refusal and model.refusal.endswith(
        "Its pixels differ."
    )


def test_a_guessed_prompt_is_read_one_picture_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = drive(UNLISTED["lfm2_vl"]())
    seen: list[int] = []
    plain = HuggingFaceVLM._inputs

    def counted(self: HuggingFaceVLM, images: object, questions: list[str]) -> object:
        seen.append(len(questions))
        return plain(self, images, questions)

    monkeypatch.setattr(HuggingFaceVLM, "_inputs", counted)
    model.answer_loss(PICTURES, QUESTIONS, ANSWERS)
    assert seen == [1, 1]
    seen.clear()
    model.answer_loss([PICTURES[0], PICTURES[0]], QUESTIONS, ANSWERS)
    assert seen == [2], "pictures of one size become equally many tokens"


def test_tokens_that_nobody_deals_are_not_dealt() -> None:
    tokens = torch.zeros(24, 2)
    assert [len(part) for part in divided(tokens, [16, 80])] == [4, 20]
    with pytest.raises(
        ModelError, match="does not say which visual tokens belong to which pic"
    ):
        divided(tokens, None)
    with pytest.raises(
        ModelError, match="24 visual tokens do not divide among 2 pictures"
    ):
        divided(tokens, [2, 3])


def test_a_processor_that_leaves_another_room_than_the_eye_needs_is_refused() -> None:
    """Where a family's text is known that is used instead, else the prompts are a guess."""
    known = FAMILIES["llava"]()
    known.options["num_additional_image_tokens"] = 3
    assert not drive(known).asks_officially
    assert drive(known).refusal is None
    unknown = UNLISTED["aya_vision"]()
    unknown.options["downsample_factor"] = 1
    assert drive(unknown).guesses


def test_a_processor_that_is_wrong_for_some_sizes_only_is_named() -> None:
    model = drive(UNLISTED["ovis2"]())
    encoded = model._encode(PICTURES, QUESTIONS)
    rooms = [model._room(asked) for asked in model._asked(PICTURES, QUESTIONS)]
    assert [len(tokens) for tokens in encoded.tokens] == rooms
    assert len(set(rooms)) == 2
    inputs = model._inputs(PICTURES[:1], QUESTIONS[:1])
    with pytest.raises(ModelError, match="model and processor do not belong together"):
        encode(model.fusion, model.family, inputs, Batch(1, True, placeholders=[3]))


def test_the_tokenizer_of_the_model_is_left_alone() -> None:
    """Some processors add tokens to theirs."""
    parts = FAMILIES["paligemma"]()
    before = len(parts.tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts.official()
    assert len(parts.tokenizer) == before == len(tokenizer())
