"""Judging on real small models: conditions, pairing, keys, and errors."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from matboard.errors import TaskError
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks import load_task
from matboard.tasks.readers import read
from matboard.transfer.evaluate import ScoreStore, Unit, conditions, evaluate, judge, show
from matboard.zoo import load_model


@pytest.fixture(scope="module")
def task():
    return load_task("scenes-recognition", train=8, test=24)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-blip2")


def prompt(value):
    canvas = Canvas()
    return VisualPrompt(
        canvas, np.where(canvas.mask(), np.float32(value), np.float32(0))[None].repeat(3, 0)
    )


def test_conditions_share_the_prompts_geometry():
    shown = {c.name: c for c in conditions({"tvp": [prompt(0.3), prompt(0.6)]})}
    assert list(shown) == ["full", "shrunk", "random", "tvp"]
    assert shown["full"].prompts == (None,)
    assert not shown["shrunk"].prompts[0].perturbation.any()
    assert len(shown["random"].prompts) == 2
    assert {c.kind for c in shown.values()} == {"baseline", "method"}


def test_the_level_a_border_was_learned_from_is_a_baseline_too(model, task):
    learned = PixelPrompt(Canvas(), level=0.25).to_artifact()
    table = evaluate({"evp": [learned]}, model, task)
    assert [c.name for c in table.shown] == ["full", "shrunk", "random", "flat", "evp"]
    assert table.shown[3].label == "flat border of level 0.25, before learning"
    cell = table.results()["cells"][-1]
    assert list(cell["versus"]) == ["full", "shrunk", "random", "flat"]
    flat = cell["versus"]["flat"]
    assert flat["value"] == 0.0, "nothing was learned yet, so the flat border is all it is"


def test_the_table_is_paired_and_says_who_shares_an_eye(model, task):
    other = load_model("tiny-visualglm")
    table = evaluate(
        {"tvp": [prompt(0.2), prompt(0.7)]}, [model, other], task, sources=["tiny-blip2"]
    )
    results = table.results()
    assert [(m["name"], m["is_source"], m["shares_encoder"]) for m in results["models"]] == [
        ("tiny-blip2", True, True),
        ("tiny-visualglm", False, False),
    ]
    cells = {(c["model"], c["condition"]): c for c in results["cells"]}
    for name in ("tiny-blip2", "tiny-visualglm"):
        tvp, full = cells[name, "tvp"], cells[name, "full"]
        assert tvp["value"] == pytest.approx(np.mean(tvp["seeds"])) and len(tvp["seeds"]) == 2
        assert tvp["versus"]["full"]["value"] == pytest.approx(tvp["value"] - full["value"])
        assert (
            tvp["versus"]["full"]["low"]
            <= tvp["versus"]["full"]["value"]
            <= tvp["versus"]["full"]["high"]
        )
        assert "full" not in full["versus"]


def test_scores_are_what_the_model_says_of_the_shown_picture(model, task):
    some = prompt(0.5)
    unit = Unit(model, task, conditions({"tvp": [some]})[-1], 0, "ranking")
    scored = judge(unit, ScoreStore(), batch_size=7)
    one = task.test[5]
    alone = model.candidate_log_likelihoods(
        [show(some, one.load())], [one.question], [one.candidates]
    )
    assert np.allclose(scored.scores[5], alone[0].numpy(), atol=1e-4)
    assert scored.labels[5] == one.label


@pytest.mark.parametrize("kind", ["folders", "jsonl"])
def test_a_replaced_picture_is_judged_anew(model, tmp_path, kind):
    rng = np.random.default_rng(0)

    def picture():
        return Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))

    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            picture().save(folder / "0.png")
    lines = [
        {"image": f"data/{p}/{n}/0.png", "answer": n, "split": p, "candidates": ["cat", "dog"]}
        for p in ("train", "test")
        for n in ("cat", "dog")
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = tmp_path / ("data" if kind == "folders" else "data.jsonl")

    def asked():
        task = read(source)
        shown = conditions({"tvp": [prompt(0.5)]})[-1]
        return task.fingerprint, Unit(model, task, shown, 0, "ranking").key

    first = asked()
    assert asked() == first
    shown = tmp_path / "data" / "test" / "dog" / "0.png"
    picture().save(shown)
    second = asked()
    assert second[0] != first[0] and second[1] != first[1]
    shown.touch()
    assert asked() == second  # the same picture
    picture().save(tmp_path / "data" / "train" / "dog" / "0.png")
    third = asked()
    assert third[0] != second[0]
    assert third[1] == second[1]  # nothing is judged on the training part


def test_a_judged_unit_is_found_again_and_any_change_is_a_new_one(model, task):
    shown = conditions({"tvp": [prompt(0.5)]})
    unit = Unit(model, task, shown[-1], 0, "ranking")
    store = ScoreStore()
    assert judge(unit, store) is judge(unit, store)
    others = [
        Unit(model, task, shown[0], 0, "ranking"),
        Unit(model, task, conditions({"tvp": [prompt(0.51)]})[-1], 0, "ranking"),
        Unit(model, dataclasses.replace(task, test=task.test[:-1]), shown[-1], 0, "ranking"),
        Unit(model, task, shown[-1], 0, "generation"),
    ]
    assert len({unit.key, *(o.key for o in others)}) == 5


def test_generation_counts_what_cannot_be_parsed(model, task):
    table = evaluate(prompt(0.0), model, task, scorers=["generation"])
    cell = next(c for c in table.results()["cells"] if c["condition"] == "full")
    assert cell["metric"] == "accuracy" and 0 <= cell["unparsable"] <= 1 - cell["value"]
    scored = table.scored["tiny-blip2", task.name, "full", "generation"][0]
    assert len(scored.texts) == 24 and (scored.scores.sum(axis=1) == 1).all()


def test_samples_may_have_fewer_candidates_than_others(model, task):
    first, *rest = task.test[:6]
    fewer = dataclasses.replace(
        first, candidates=tuple(dict.fromkeys([first.answer, *first.candidates]))[:2]
    )
    mixed = dataclasses.replace(task, test=(fewer, *rest))
    scored = judge(
        Unit(model, mixed, conditions({"p": [prompt(0.0)]})[0], 0, "ranking"), ScoreStore()
    )
    assert np.isneginf(scored.scores[0, 2:]).all() and np.isfinite(scored.scores[1:]).all()


def test_nothing_to_judge_by_is_refused(model, task):
    bare = dataclasses.replace(task.test[0], candidates=())
    with pytest.raises(TaskError, match="has no candidates"):
        evaluate(prompt(0.1), model, dataclasses.replace(task, test=(bare,)))
