"""What a harness asks is what matboard's own models answer about prompted pictures."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import matboard
from matboard.errors import ConfigError, MissingExtra, ModelError, PromptError
from matboard.harnesses.asking import (
    Ending,
    answers,
    asked,
    likelihoods,
    load,
    size_of_batches,
)
from matboard.models.capabilities import Generates, Ranks


def noise() -> matboard.VisualPrompt:
    blank = np.zeros((3, 60, 60), dtype=np.float32)
    return matboard.VisualPrompt(matboard.Canvas(60, 10), blank).noise(seed=0)


@pytest.fixture(scope="module")
def samples():
    return matboard.load_task("scenes-recognition", train=5, test=5).test


@pytest.fixture(scope="module")
def pictures(samples):
    return [sample.load() for sample in samples]


@pytest.fixture(scope="module")
def model():
    return matboard.load_model("tiny-minigpt4")


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompt")
    noise().save_pretrained(folder)
    return load("tiny-minigpt4", str(folder), device="cuda:0")


def requests_of(samples, pictures):
    """As harnesses make them: one a candidate, in the order of the pictures; the last one of a
    picture with fewer candidates.
    """
    for place, (sample, picture) in enumerate(zip(samples, pictures)):
        question = asked(f"<image> {sample.question}", [picture])
        options = sample.candidates[: 2 if place == 4 else None]
        for candidate in options:
            yield question, f" {candidate}"


@pytest.mark.parametrize("batch_size", [1, 2])
def test_likelihoods_are_of_prompted_pictures(
    behind, model, samples, pictures, batch_size
):
    pairs = list(requests_of(samples, pictures))
    scored = list(likelihoods(behind, pairs, batch_size))
    assert len(scored) == len(pairs)
    place = 0
    for sample, picture in zip(samples, pictures):
        shown = [noise().apply(picture)]
        for candidate in sample.candidates[: 2 if sample is samples[4] else None]:
            answer = model.answer(shown, [sample.question], [candidate])
            loss = answer.negative_log_likelihood.item()
            tokens = int(answer.token_count)
            said = model.generate(shown, [sample.question], max_new_tokens=tokens)
            score = scored[place]
            assert score.log_likelihood == pytest.approx(-loss, abs=1e-3)
            assert score.tokens == tokens
            assert score.loss == pytest.approx(loss / tokens, abs=1e-3)
            assert score.greedy == (said == [candidate])
            place += 1
    assert any(score.greedy for score in scored)
    assert not all(score.greedy for score in scored)
    untouched = list(likelihoods(model, pairs, batch_size))
    assert untouched[0].log_likelihood != pytest.approx(scored[0].log_likelihood)


def test_answers_are_of_prompted_pictures_and_end_where_a_task_says(
    behind, model, samples, pictures
):
    rules = [{"until": ["\n\n"], "max_gen_toks": 4}] * 3 + [{"max_new_tokens": 2}] * 2
    questions = [
        asked(sample.question, picture) for sample, picture in zip(samples, pictures)
    ]
    said = list(answers(behind, list(zip(questions, rules)), batch_size=2))
    for sample, picture, rule, answer in zip(samples, pictures, rules, said):
        shown, most = [noise().apply(picture)], rule.get("max_gen_toks", 2)
        assert [answer] == model.generate(shown, [sample.question], max_new_tokens=most)
    assert Ending.of({"until": "b"}).cut("aabaab") == "aa"
    assert Ending.of({"until": ["x", "", "ab"]}).cut("aabaab") == "a"
    assert Ending.of({}).tokens == 256


class Clip(Ranks):
    """It compares, and has no tokens."""

    name = "clip"

    def candidate_log_likelihoods(self, images, questions, candidates, **_):
        return torch.tensor([[float(len(name)) for name in row] for row in candidates])


class Closed(Generates):
    name = "closed"

    def generate(self, images, questions, *, max_new_tokens=16):
        return ["yes"] * len(images)


def test_models_do_what_they_can_and_say_what_they_cannot(pictures):
    question = asked("what?", [pictures[0]])
    scored = list(likelihoods(Clip(), [(question, " a"), (question, " bcd")], 1))
    assert [score.log_likelihood for score in scored] == [1, 3]
    assert not any(score.greedy for score in scored)
    with pytest.raises(ModelError, match=r"clip \(Clip\) cannot generate answers"):
        list(answers(Clip(), [(question, {})], 1))
    with pytest.raises(ModelError, match=r"closed \(Closed\) cannot rank"):
        list(likelihoods(Closed(), [(question, " a")], 1))


@pytest.mark.parametrize(
    ("visuals", "sentence"),
    [
        (None, "with 0 visuals"),
        ([Image.new("RGB", (2, 2))] * 2, "with 2 visuals"),
        (["a.mp4"], r"with 1 visuals \(str\)"),
    ],
)
def test_a_request_is_about_one_picture(visuals, sentence):
    with pytest.raises(ModelError, match=sentence):
        asked("what?", visuals)


@pytest.mark.parametrize(
    "told", [{"do_sample": True}, {"temperature": 0.7}, {"num_beams": 5}]
)
def test_answers_are_greedy(told):
    with pytest.raises(ConfigError, match="asks for sampling or beams"):
        Ending.of(told)
    assert Ending.of({"temperature": 0.0, "do_sample": False, "num_beams": 1}).tokens


@pytest.mark.parametrize("told", ["auto", 0, "-1", "2.5"])
def test_a_batch_size_is_a_number(told):
    with pytest.raises(ConfigError, match="expected a number from 1"):
        size_of_batches(told)
    assert size_of_batches("4") == size_of_batches(4) == 4


def test_what_cannot_be_had_is_said(model):
    assert load(model, None) is model
    with pytest.raises(PromptError, match="no folder 'nowhere/at-all'"):
        load(model, "nowhere/at-all")


def test_without_the_harness_its_file_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "matboard.harnesses.lm_eval", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'matboard\[harness\]'"):
        import matboard.harnesses.lm_eval  # noqa: F401
