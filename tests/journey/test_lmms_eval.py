"""Model and prompt in lmms-eval, through the interface it has for models."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lmms_eval.api.model")

from lmms_eval.api.instance import Instance
from lmms_eval.models.registry_v2 import ModelRegistryV2

import matboard
from matboard.errors import ModelError
from matboard.harnesses import lmms_manifest


@pytest.fixture(scope="module")
def kind():
    """The class that lmms-eval finds by what the entry point tells it."""
    registry = ModelRegistryV2()
    registry.register_manifest(lmms_manifest())
    return registry.get_model_class("matboard")


@pytest.fixture(scope="module")
def prompt(tmp_path_factory):
    blank = np.zeros((3, 60, 60), dtype=np.float32)
    noise = matboard.VisualPrompt(matboard.Canvas(60, 10), blank).noise(seed=0)
    noise.save_pretrained(tmp_path_factory.mktemp("prompt") / "noise")
    return noise


@pytest.fixture(scope="module")
def samples():
    return matboard.load_task("scenes-recognition", train=3, test=3).test


def instances(kind, arguments):
    metadata = {"task": "scenes", "doc_id": 0, "repeats": 1}
    return [
        Instance(request_type=kind, arguments=one, idx=0, metadata=metadata)
        for one in arguments
    ]


def asking(kind, samples, prompt, tmp_path):
    prompt.save_pretrained(tmp_path / "noise")
    words = f"pretrained=tiny-minigpt4,prompt={tmp_path / 'noise'}"
    model = kind.create_from_arg_string(words, {"batch_size": 2, "device": None})
    model.task_dict = {"scenes": {"test": samples}}
    return model


def visual(sample):
    return [sample.load()]


def test_its_requests_are_answered_about_prompted_pictures(
    kind, samples, prompt, tmp_path
):
    ours = asking(kind, samples, prompt, tmp_path)
    plain = matboard.load_model("tiny-minigpt4")
    shown = [prompt.apply(sample.load()) for sample in samples]
    questions = [sample.question for sample in samples]
    rules = {"max_new_tokens": 4, "temperature": 0, "until": ["\n\n"]}
    arguments = [
        (question, dict(rules), visual, place, "scenes", "test")
        for place, question in enumerate(questions)
    ]
    said = ours.generate_until(instances("generate_until", arguments))
    assert said == plain.generate(shown, questions, max_new_tokens=4)
    arguments = [
        (sample.question, f" {candidate}", visual, place, "scenes", "test")
        for place, sample in enumerate(samples)
        for candidate in sample.candidates
    ]
    scored = ours.loglikelihood(instances("loglikelihood", arguments))
    means = plain.candidate_log_likelihoods(
        shown, questions, [sample.candidates for sample in samples]
    )
    losses = [loss for loss, _ in scored]
    assert losses == pytest.approx((-means).flatten().tolist(), abs=1e-3)
    targets = [
        (sample.question, lambda one: one.answer, visual, place, "scenes", "test")
        for place, sample in enumerate(samples)
    ]
    own = ours.loglikelihood(instances("loglikelihood", targets))
    answer = plain.answer(shown, questions, [sample.answer for sample in samples])
    mean = answer.negative_log_likelihood / answer.token_count
    assert [loss for loss, _ in own] == pytest.approx(mean.tolist(), abs=1e-3)


def test_what_it_cannot_ask_is_said(kind, samples, prompt, tmp_path):
    model = asking(kind, samples, prompt, tmp_path)
    with pytest.raises(ModelError, match="asks in several rounds"):
        model.generate_until_multi_round([])
