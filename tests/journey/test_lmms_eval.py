"""Model and prompt in lmms-eval, through the interface it has for models."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lmms_eval.api.model")
datasets = pytest.importorskip("datasets")

from lmms_eval.api.instance import Instance  # noqa: E402
from lmms_eval.models.registry_v2 import ModelRegistryV2  # noqa: E402

import matboard  # noqa: E402
from matboard.errors import ModelError  # noqa: E402
from matboard.harnesses import lmms_manifest  # noqa: E402


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
    losses = [result.text[0] for result in scored]
    assert losses == pytest.approx((-means).flatten().tolist(), abs=1e-3)
    targets = [
        (sample.question, lambda one: one.answer, visual, place, "scenes", "test")
        for place, sample in enumerate(samples)
    ]
    own = ours.loglikelihood(instances("loglikelihood", targets))
    answer = plain.answer(shown, questions, [sample.answer for sample in samples])
    mean = answer.negative_log_likelihood / answer.token_count
    assert [result.text[0] for result in own] == pytest.approx(mean.tolist(), abs=1e-3)


UTILS = """
def visual(doc, lmms_eval_specific_kwargs=None):
    return [doc["image"].convert("RGB")]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]
"""
TASK = """task: scenes_METRIC
dataset_path: parquet
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: OUTPUT
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: "{{answer}}"
MORE
metric_list: [{metric: METRIC, aggregation: mean, higher_is_better: true}]
"""
KINDS = {
    "multiple_choice": ("acc", 'doc_to_choice: "{{candidates}}"'),
    "generate_until": (
        "exact_match",
        'generation_kwargs: {until: ["\\n"], temperature: 0, max_new_tokens: 4}',
    ),
}


@pytest.fixture(scope="module")
def tasks(samples, tmp_path_factory):
    """The same pictures as two tasks of the harness: options to rank, and free answers."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "image": sample.load(),
            "question": sample.question,
            "answer": sample.answer,
            "candidates": list(sample.candidates),
        }
        for sample in samples
    ]
    made = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    made.to_parquet(folder / "scenes.parquet")
    (folder / "utils.py").write_text(UTILS)
    for kind, (metric, more) in KINDS.items():
        filled = {"OUTPUT": kind, "METRIC": metric, "MORE": more}
        text = TASK.replace("DATA", str(folder / "scenes.parquet"))
        for name, value in filled.items():
            text = text.replace(name, value)
        (folder / f"{metric}.yaml").write_text(text)
    return folder


def test_its_evaluator_finds_what_matboard_finds(samples, prompt, tasks, tmp_path):
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    prompt.save_pretrained(tmp_path / "noise")
    out = simple_evaluate(
        model="matboard",
        model_args=f"pretrained=tiny-minigpt4,prompt={tmp_path / 'noise'}",
        tasks=["scenes_acc", "scenes_exact_match"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        batch_size=2,
    )
    plain = matboard.load_model("tiny-minigpt4")
    shown = [prompt.apply(sample.load()) for sample in samples]
    questions = [sample.question for sample in samples]
    means = plain.candidate_log_likelihoods(
        shown, questions, [sample.candidates for sample in samples]
    )
    said = plain.generate(shown, questions, max_new_tokens=4)
    truth = [sample.answer for sample in samples]
    ranked = [
        sample.candidates[place]
        for sample, place in zip(samples, means.argmax(1).tolist())
    ]
    told = out["results"]
    right = np.mean([one == other for one, other in zip(ranked, truth)])
    assert told["scenes_acc"]["acc,none"] == pytest.approx(right)
    right = np.mean([one == other for one, other in zip(said, truth)])
    assert told["scenes_exact_match"]["exact_match,none"] == pytest.approx(right)


def test_what_it_cannot_ask_is_said(kind, samples, prompt, tmp_path):
    model = asking(kind, samples, prompt, tmp_path)
    with pytest.raises(ModelError, match="asks in several rounds"):
        model.generate_until_multi_round([])
