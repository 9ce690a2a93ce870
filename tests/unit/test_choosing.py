"""Asking a model: what is asked, what is kept, and that a kill or a file changes no decision."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.errors import ModelError, RunError, Unanswered, UnknownName
from matboard.models.capabilities import Generates, Ranks
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.results import read
from matboard.studies.choose import choosing
from matboard.studies.choose.choice import Asked, draw_samples
from matboard.studies.choose.choosing import choose
from matboard.studies.choose.stored import choose_stored
from matboard.tasks.task import Sample, Task

SKILL = {"untouched": 0.4, 0: 0.5, 51: 0.6, 153: 0.95}
"""Level of the border → share of the pictures that the model gets right."""


def draw(id):
    """A number in [0, 1) that a picture's colours carry."""
    return hashlib.sha256(id.encode()).digest()[0] / 256


def picture(id, label):
    colour = (int(draw(id) * 256), 255 * label, 7)
    return Image.new("RGB", (12, 12), colour)


def labelled(metric="accuracy"):
    def sample(part, number):
        id = f"{part}-{number}"
        label = number % 2
        load = lambda: picture(id, label)  # noqa: E731
        return Sample(id, load, "which?", ("no", "yes")[label], ("no", "yes"))

    test = tuple(sample("test", number) for number in range(100))
    return Task("pictures", (sample("train", 0),), test, metric)


class Seeing(Ranks):
    """It sees how bright the border is, and does better with some than with others."""

    name = "seeing"

    def __init__(self):
        self.asked = 0
        self.dies_after = None

    def candidate_log_likelihoods(
        self, images, questions, candidates, *, length_normalised=True
    ):
        return torch.tensor([self.scores(image) for image in images])

    def scores(self, image):
        if self.asked == self.dies_after:
            raise KeyboardInterrupt
        self.asked += 1
        bordered = image.size == (16, 16)
        level = image.getpixel((0, 0))[0] if bordered else "untouched"
        colour = image.getpixel((8, 8)) if bordered else image.getpixel((6, 6))
        right = colour[0] / 256 < SKILL[level]
        return [0.0, 1.0] if (colour[1] > 128) == right else [1.0, 0.0]


class Writing(Generates):
    """The same, in its own words."""

    name = "writing"

    def generate(self, images, questions, *, max_new_tokens=16):
        rows = [Seeing().scores(image) for image in images]
        return [("No.", "Yes!")[int(np.argmax(row))] for row in rows]


class Silent(Seeing):
    """It says nothing about pictures without a border."""

    def candidate_log_likelihoods(
        self, images, questions, candidates, *, length_normalised=True
    ):
        scores = super().candidate_log_likelihoods(images, questions, candidates)
        plain = [place for place, one in enumerate(images) if one.size != (16, 16)]
        if plain:
            raise Unanswered(self.name, scores, dict.fromkeys(plain, "too late"))
        return scores


def prompt_folder(folder, level):
    canvas = Canvas(16, 2)
    values = np.where(canvas.mask(), np.float32(level), np.float32(0))
    VisualPrompt(canvas, values[None].repeat(3, 0)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def prompts(tmp_path):
    levels = {"dim": 0.2, "bright": 0.6}
    return [prompt_folder(tmp_path / name, level) for name, level in levels.items()]


@pytest.fixture
def model(monkeypatch):
    """What every name stands for."""
    model = Seeing()
    monkeypatch.setattr(choosing.Models, "look_up", lambda self, models, guides: None)
    monkeypatch.setattr(
        choosing.Models, "judged", lambda self, names, precision: iter([model])
    )
    monkeypatch.setattr(choosing, "load_task", lambda name: labelled())
    return model


def decided(run):
    """Everything but what depends on how it was made."""
    return read(run).model_copy(
        update={"seconds": None, "made_from": "", "model": "", "scorer": None}
        | {"task": "", "prompt": None, "metric": ""}
    )


def carry_out(events):
    return list(events)


def test_the_best_prompt_is_found_and_copied(prompts, model, tmp_path):
    run = tmp_path / "run"
    carry_out(choose(prompts, "m", "t", run, batch_size=8))
    results = read(run)
    assert results.winner == "bright" and results.prompt == "prompt"
    assert results.best.name == "bright"
    assert {one.name for one in results.candidates} == {"shrunk", "dim", "bright"}
    assert model.asked == results.calls < results.calls_of_all == 60 * 4
    copied = json.loads((run / "prompt/prompt_config.json").read_text())
    assert copied["canvas"]["width"] == 2
    best = results.best
    assert best.difference.low > 0 and best.p_value < 0.05 and best.losses == 0
    assert best.accuracy.value * best.pictures == pytest.approx(
        results.none.value * best.pictures + best.wins - best.losses
    )


def test_no_prompt_is_used_where_none_helps(prompts, model, tmp_path, monkeypatch):
    monkeypatch.setitem(SKILL, 153, 0.45)
    monkeypatch.setitem(SKILL, 51, 0.2)
    run = tmp_path / "run"
    carry_out(choose(prompts, "m", "t", run))
    results = read(run)
    assert results.winner is None and results.prompt is None
    assert not (run / "prompt").exists()
    assert all(one.difference.low <= 0 for one in results.candidates)


def test_silence_speaks_for_no_prompt(prompts, model, tmp_path):
    """Counted as wrong answers, these would show that every prompt helps."""
    model.__class__ = Silent
    run = tmp_path / "run"
    carry_out(choose(prompts, "m", "t", run))
    results = read(run)
    assert results.winner is None
    assert {(one.wins, one.losses) for one in results.candidates} == {(0, 0)}


def test_what_was_asked_is_not_asked_again(prompts, model, tmp_path):
    """Stopped at any picture, the same command reaches the same decision; only the batch in which
    it was stopped is asked twice.
    """
    whole = tmp_path / "whole"
    carry_out(choose(prompts, "m", "t", whole, batch_size=8))
    calls = model.asked
    for stop in (0, 30, calls - 1):
        model.asked = 0
        model.dies_after = stop
        run = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            carry_out(choose(prompts, "m", "t", run, batch_size=8))
        assert not (run / "results.json").exists()
        model.dies_after = None
        carry_out(choose(prompts, "m", "t", run, batch_size=8))
        assert decided(run) == decided(whole)
        assert calls <= model.asked < calls + 8
    model.asked = 0
    events = carry_out(choose(prompts, "m", "t", run, batch_size=8))
    assert [event.detail for event in events] == ["found"] and model.asked == 0


def test_stored_predictions_give_the_decision_of_the_live_run(prompts, model, tmp_path):
    live = tmp_path / "live"
    carry_out(choose(prompts, "m", "t", live, Asked(pictures=50)))
    candidates = choosing.load_candidates(prompts)
    lines = []
    for sample in labelled().test:
        for name in candidates.shown:
            prompt = candidates.prompt(name)
            shown = sample.load() if prompt is None else prompt.apply(sample.load())
            scores = Seeing().scores(shown)
            right = int(np.argmax(scores)) == sample.label
            row = {"id": sample.id, "prompt": name, "right": int(right)}
            lines.append(json.dumps(row) + "\n")
    file = tmp_path / "said.jsonl"
    file.write_text("".join(reversed(lines)))
    stored = tmp_path / "stored"
    carry_out(choose_stored([file], stored, Asked(pictures=50), prompts=prompts))
    assert decided(stored) == decided(live)
    assert read(stored).prompt == "prompt"


def test_a_model_that_only_writes_is_judged_by_what_it_writes(
    prompts, model, tmp_path, monkeypatch
):
    ranked = tmp_path / "ranked"
    carry_out(choose(prompts, "m", "t", ranked))
    monkeypatch.setattr(
        choosing.Models, "judged", lambda self, names, precision: iter([Writing()])
    )
    run = tmp_path / "run"
    carry_out(choose(prompts, "m", "t", run))
    assert read(run).scorer == "generation" and read(ranked).scorer == "ranking"
    assert decided(run) == decided(ranked)
    with pytest.raises(ModelError, match=r"cannot rank .* judging by ranking needs"):
        carry_out(choose(prompts, "m", "t", tmp_path / "other", scorer="ranking"))


def test_a_metric_that_no_picture_has_is_told(prompts, model, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "load_task", lambda name: labelled("f1"))
    carry_out(choose(prompts, "m", "t", tmp_path / "run", Asked(pictures=200)))
    assert read(tmp_path / "run").notes == (
        "pictures has 100 pictures to draw from, not 200; its training part was left alone.",
        "pictures is scored by f1, which no single picture has: prompts were compared by right and"
        " wrong answers.",
    )


def test_pictures_come_from_the_test_part_unless_all_are_asked_for():
    task = labelled()
    drawn = draw_samples(task, Asked(pictures=500))
    assert {sample.id for sample in drawn} == {sample.id for sample in task.test}
    assert len(draw_samples(task, Asked(pictures=500, every_part=True))) == 101
    assert len(draw_samples(task, Asked())) == 60


def test_wrong_wishes_are_refused(prompts, model, tmp_path):
    with pytest.raises(UnknownName, match="Unknown scorer 'rank'"):
        carry_out(choose(prompts, "m", "t", tmp_path / "run", scorer="rank"))
    carry_out(choose(prompts, "m", "t", tmp_path / "run"))
    with pytest.raises(RunError, match=r"another configuration \(error_rate differ\)"):
        carry_out(choose(prompts, "m", "t", tmp_path / "run", Asked(rate=0.1)))
