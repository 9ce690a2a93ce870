"""The model card: front matter that the Hub reads, scores with n and interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from pydantic import ValidationError

from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.record import Score

LEARNED = {
    "sources": [
        {"model": "tiny-minigpt4", "encoder": "ab"},
        {"model": "/home/me/model"},
    ],
    "method": "tvp",
    "skipped_terms": ["semantic_enrichment"],
    "task": "scenes-counting",
}
SCORES = (
    Score(model="a|b", task="t", n=500, value=0.81, low=0.77, high=0.84, untouched=0.5),
    Score(model="tiny-minigpt4", task="t", n=5, value=0.6, learned_on=True),
)


def prompt(**config) -> VisualPrompt:
    return VisualPrompt(Canvas(24, 4), np.zeros((3, 24, 24), np.float32), config=config)


def card(folder: Path, saved: VisualPrompt) -> tuple[dict, str]:
    saved.save_pretrained(folder)
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_front_matter_states_licence_base_models_data_set_and_scores(tmp_path):
    saved = prompt(**LEARNED).with_scores(SCORES, license="cc-by-4.0")
    front, _ = card(tmp_path, saved)
    results = front.pop("model-index")[0]["results"]
    assert front == {
        "library_name": "matboard",
        "license": "cc-by-4.0",
        "tags": ["visual-prompt"],
        "base_model": ["tiny-minigpt4"],
        "datasets": ["scenes-counting"],
        "metrics": ["accuracy"],
    }
    assert [result["metrics"][0]["value"] for result in results] == [0.81, 0.6]


def test_the_hubs_own_reader_finds_the_scores(tmp_path):
    prompt(**LEARNED).with_scores(SCORES).save_pretrained(tmp_path)
    found = ModelCard((tmp_path / "README.md").read_text()).data
    assert found.license == "unknown"
    assert [result.metric_value for result in found.eval_results] == [0.81, 0.6]


def test_scores_stand_with_n_and_interval_or_say_too_few(tmp_path):
    _, body = card(tmp_path, prompt(**LEARNED).with_scores(SCORES))
    assert (
        r"| a\|b | t | ranking | 500 | 0.500 | accuracy 0.810 \[0.770, 0.840\] |"
        in body
    )
    assert "| tiny-minigpt4 (learned on) | t | ranking | 5 | – |" in body
    assert "accuracy 0.600 (too few for an interval) |" in body


def test_what_the_method_went_without_is_named(tmp_path):
    _, body = card(tmp_path, prompt(**LEARNED))
    assert (
        "Learned by tvp without semantic_enrichment on tiny-minigpt4, /home/me/model for"
        in body
    )
    _, body = card(tmp_path / "bare", prompt())
    assert "Nothing is recorded about how it was learned." in body


def test_scores_outlast_saving_and_are_checked(tmp_path):
    prompt().with_scores(SCORES).save_pretrained(tmp_path)
    again = load_prompt(tmp_path)
    assert [Score(**told) for told in again.config["scores"]] == list(SCORES)
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Score(model="m", task="t", n=5, value=81.0)


def test_no_text_leaves_its_cell_or_the_front_matter(tmp_path):
    nasty = "x\n---\n| [a](javascript:1) <b>`"
    saved = prompt(
        method=nasty, task=nasty, license=nasty, note=nasty, **{nasty: nasty}
    )
    front, body = card(tmp_path, saved)
    line = " ".join(nasty.split())
    assert front["license"] == line
    assert front["datasets"] == [line]
    assert "<b>" not in body.replace(r"\<b\>", "")
    assert "\n---\n" not in body
