"""Model and prompt in EleutherAI's lm-evaluation-harness, through its own evaluator."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

lm_eval = pytest.importorskip("lm_eval")
datasets = pytest.importorskip("datasets")

import matboard  # noqa: E402
from matboard.errors import ConfigError, ModelError  # noqa: E402

TASK = """task: scenes
dataset_path: parquet
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: OUTPUT
doc_to_text: "<image> {{question}}"
doc_to_image: [image]
doc_to_target: "{{answer}}"
metric_list: [{metric: METRIC, aggregation: mean, higher_is_better: true}]
"""
ANSWERS = """generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
"""
CHOICES = """doc_to_choice: "{{candidates}}"
"""


@pytest.fixture(scope="module")
def prompt(tmp_path_factory):
    blank = np.zeros((3, 60, 60), dtype=np.float32)
    noise = matboard.VisualPrompt(matboard.Canvas(60, 6), blank).noise(seed=1)
    noise.save_pretrained(tmp_path_factory.mktemp("prompt") / "noise")
    return noise


@pytest.fixture(scope="module")
def samples():
    return matboard.load_task("scenes-recognition", train=12, test=12).test


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
    whole = TASK.replace("DATA", str(folder / "scenes.parquet"))
    kinds = {
        "multiple_choice": ("acc", CHOICES),
        "generate_until": ("exact_match", ANSWERS),
    }
    for kind, (metric, more) in kinds.items():
        text = whole.replace("OUTPUT", kind).replace("METRIC", metric) + more
        text = text.replace("task: scenes", f"task: scenes_{metric}")
        (folder / f"{metric}.yaml").write_text(text)
    return folder


def expected(samples, shown):
    """Accuracies by matboard's own means, of pictures as they are shown."""
    model = matboard.load_model("tiny-minigpt4")
    pictures = [shown(sample.load()) for sample in samples]
    questions = [sample.question for sample in samples]
    candidates = [sample.candidates for sample in samples]
    sums = model.candidate_log_likelihoods(
        pictures, questions, candidates, length_normalised=False
    )
    best = sums.argmax(dim=1).tolist()
    said = model.generate(pictures, questions, max_new_tokens=4)
    truth = [sample.answer for sample in samples]
    ranked = [options[place] for options, place in zip(candidates, best)]
    return {
        "scenes_acc": np.mean([one == other for one, other in zip(ranked, truth)]),
        "scenes_exact_match": np.mean(
            [one == other for one, other in zip(said, truth)]
        ),
    }


def test_its_evaluator_finds_what_matboard_finds(prompt, samples, tasks):
    from lm_eval.tasks import TaskManager

    from matboard.harnesses.lm_eval import PromptedLM

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    names = ["scenes_acc", "scenes_exact_match"]
    found = {}
    for place, given in {"plain": None, "prompted": prompt}.items():
        model = PromptedLM("tiny-minigpt4", given, batch_size=4)
        out = lm_eval.simple_evaluate(model, tasks=names, task_manager=manager)
        told = out["results"]
        found[place] = {
            "scenes_acc": told["scenes_acc"]["acc,none"],
            "scenes_exact_match": told["scenes_exact_match"]["exact_match,none"],
        }
        assert out["config"]["model_name"] == model.model.name
    assert found["plain"] == pytest.approx(expected(samples, lambda picture: picture))
    assert found["prompted"] == pytest.approx(expected(samples, prompt.apply))
    assert found["plain"] != found["prompted"]


def test_its_command_line_knows_the_model(prompt, tasks, tmp_path):
    prompt.save_pretrained(tmp_path / "noise")
    words = ["run", "--model", "matboard", "--tasks", "scenes_acc"]
    words += ["--model_args", f"pretrained=tiny-minigpt4,prompt={tmp_path / 'noise'}"]
    words += ["--include_path", str(tasks), "--output_path", str(tmp_path / "out.json")]
    command = [sys.executable, "-m", "matboard.harnesses.lm_eval", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("**/*out*.json")
    told = json.loads(written.read_text())
    assert "acc,none" in told["results"]["scenes_acc"]
    assert told["config"]["model_name"] == "tiny-minigpt4 + prompt"
    wrong = [word.replace("tiny-minigpt4", "tiny-nothing") for word in command]
    done = subprocess.run(wrong, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: Unknown model 'tiny-nothing'" in done.stderr


def test_what_it_cannot_ask_is_said():
    from matboard.harnesses.lm_eval import PromptedLM

    model = PromptedLM(matboard.load_model("tiny-minigpt4"))
    with pytest.raises(ModelError, match="how likely texts are by themselves"):
        model.loglikelihood_rolling([])
    with pytest.raises(ConfigError, match="leave out --apply_chat_template"):
        model.apply_chat_template([])
