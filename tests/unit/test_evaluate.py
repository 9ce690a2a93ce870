"""Judging on real small models: conditions, pairing, keys, and errors."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.errors import ConfigError, ModelError, TaskError
from matboard.models.capabilities import Generates, Ranks
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.studies.judging import FolderStore
from matboard.tasks import load_task
from matboard.tasks.readers import read
from matboard.transfer.conditions import as_learned, conditions, show
from matboard.transfer.evaluate import Judged, ScoreStore, check_kinds, evaluate, judge
from matboard.transfer.table import Scored
from matboard.zoo import load_model


@pytest.fixture(scope="module")
def task():
    return load_task("scenes-recognition", train=8, test=24)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-blip2")


def prompt(value, width=30, size=224):
    canvas = Canvas(size, width)
    values = np.where(canvas.mask(), np.float32(value), np.float32(0))
    return VisualPrompt(canvas, values[None].repeat(3, 0))


def shown(prompts):
    return conditions(as_learned(prompts))


def test_conditions_share_the_prompts_geometry():
    found = {one.name: one for one in shown({"tvp": [prompt(0.3), prompt(0.6)]})}
    assert list(found) == ["full", "shrunk", "random", "tvp"]
    assert found["full"].at() == (None,)
    assert not found["shrunk"].at()[0].perturbation.any()
    assert len(found["random"].at()) == 2
    assert found["tvp"].facts.compared_with == ("full", "shrunk", "random")
    assert found["tvp"].facts.geometry == "border 30 of 224"


def test_every_geometry_has_baselines_of_its_own():
    found = {
        one.name: one
        for one in shown({"thin": [prompt(0.3, 10)], "wide": [prompt(1, 50)]})
    }
    assert list(found) == [
        "full",
        "shrunk, border 10 of 224",
        "random, border 10 of 224",
        "shrunk, border 50 of 224",
        "random, border 50 of 224",
        "thin",
        "wide",
    ]
    for name, width in (("thin", 10), ("wide", 50)):
        own = [found[other] for other in found[name].facts.compared_with[1:]]
        assert [one.facts.baseline for one in own] == ["shrunk", "random"]
        assert {one.at()[0].width for one in own} == {width}


def test_a_difference_is_taken_to_the_baseline_of_the_same_geometry(model, task):
    table = evaluate(
        {"thin": [prompt(0, 10)], "wide": [prompt(0, 80)]}, model, task
    ).results()
    cells = {cell.condition: cell for cell in table.cells}
    for name, width in (("thin", 10), ("wide", 80)):
        own = cells[name].versus[f"shrunk, border {width} of 224"]
        assert (own.value, own.low, own.high) == (0, own.low, own.high)
        assert cells[name].seeds == cells[f"shrunk, border {width} of 224"].seeds
    assert cells["thin"].value != cells["wide"].value


def test_layouts_and_policies_are_geometries_too():
    canvas = Canvas(224, 0)
    patch = VisualPrompt(
        canvas, np.zeros((3, 224, 224), np.float32), "patch", patch=Patch(40)
    )
    full = VisualPrompt(canvas, np.zeros((3, 224, 224), np.float32), "full")
    squashed = VisualPrompt(
        Canvas(224, 30, "squash"), np.zeros((3, 224, 224), np.float32)
    )
    found = shown({"a": [patch], "b": [full], "c": [squashed], "d": [prompt(0)]})
    assert [one.facts.geometry for one in found[-4:]] == [
        "patch 40 at 0, 0 of 224",
        "full frame of 224",
        "border 30 of 224, squash",
        "border 30 of 224",
    ]


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ({}, "No prompt was given"),
        ({"a": []}, "there are none"),
        ({"a": [prompt(0, 10), prompt(0, 20)]}, "have 2 geometries"),
        ({"shrunk": [prompt(0.5)]}, "A prompt cannot be called 'shrunk'"),
        ({"full": [prompt(0.5)]}, "A prompt cannot be called 'full'"),
    ],
)
def test_prompts_that_no_table_can_hold(prompts, sentence):
    with pytest.raises(ConfigError, match=sentence):
        shown(prompts)


def test_the_level_a_border_was_learned_from_is_a_baseline_too(model, task):
    learned = PixelPrompt(Canvas(), level=0.25).to_artifact()
    table = evaluate({"evp": [learned]}, model, task)
    assert [c.name for c in table.shown] == ["full", "shrunk", "random", "flat", "evp"]
    assert table.shown[3].facts.label == "flat border of level 0.25, before learning"
    cell = table.results().cells[-1]
    assert list(cell.versus) == ["full", "shrunk", "random", "flat"]
    assert cell.versus["flat"].value == 0, (
        "nothing was learned yet: it is the flat border"
    )


def test_levels_of_one_geometry_have_a_flat_border_each():
    dark = PixelPrompt(Canvas(), level=0.25).to_artifact()
    grey = PixelPrompt(Canvas(), level=0.5).to_artifact()
    found = {
        one.name: one
        for one in shown({"dark": [dark], "grey": [grey], "black": [prompt(0)]})
    }
    assert found["dark"].facts.compared_with[-1] == "flat, level 0.25"
    assert found["grey"].facts.compared_with[-1] == "flat, level 0.5"
    assert found["black"].facts.compared_with == ("full", "shrunk", "random")


def test_the_table_is_paired_and_says_who_shares_an_eye(model, task):
    other = load_model("tiny-visualglm")
    table = evaluate(
        {"tvp": [prompt(0.2), prompt(0.7)]},
        [model, other],
        task,
        sources=["tiny-blip2"],
    )
    results = table.results()
    said = [(one.name, one.is_source, one.shares_encoder) for one in results.models]
    assert said == [("tiny-blip2", True, True), ("tiny-visualglm", False, False)]
    cells = {(cell.model, cell.condition): cell for cell in results.cells}
    for name in ("tiny-blip2", "tiny-visualglm"):
        tvp = cells[name, "tvp"]
        full = cells[name, "full"]
        difference = tvp.versus["full"]
        assert tvp.value == pytest.approx(np.mean(tvp.seeds)) and len(tvp.seeds) == 2
        assert difference.value == pytest.approx(tvp.value - full.value)
        assert difference.low <= difference.value <= difference.high
        assert "full" not in full.versus


def test_nobody_knows_whose_eye_it_is_without_a_source_in_the_table(model, task):
    results = evaluate(prompt(0.2), model, task).results()
    assert results.models[0].shares_encoder is None


def relabelled(task, name="scenes-recognition"):
    """The same pictures with other answers."""
    turned = tuple(
        dataclasses.replace(s, answer=s.candidates[(s.label + 1) % len(s.candidates)])
        for s in task.test
    )
    return dataclasses.replace(task, name=name, test=turned)


def test_tasks_of_one_name_are_judged_apart(model, task):
    other = relabelled(task)
    alone = [evaluate(prompt(0.2), model, one).results() for one in (task, other)]
    both = evaluate(prompt(0.2), model, [task, other]).results()
    assert [t.name for t in both.tasks] == [
        "scenes-recognition (1)",
        "scenes-recognition (2)",
    ]
    for place, single in enumerate(alone):
        own = [cell for cell in both.cells if cell.task == both.tasks[place].name]
        assert [cell.value for cell in own] == [cell.value for cell in single.cells]
        assert [cell.n for cell in own] == [cell.n for cell in single.cells]


def test_the_same_task_or_model_twice_is_refused(model, task):
    again = dataclasses.replace(task, name="another name")
    with pytest.raises(
        TaskError, match="'scenes-recognition' and 'another name' are the same"
    ):
        evaluate(prompt(0.2), model, [task, again])
    with pytest.raises(ModelError, match="'tiny-blip2' came twice"):
        evaluate(prompt(0.2), [model, model], task)


def test_what_is_no_prompt_model_or_task_is_a_sentence(model, task):
    for arguments, sentence in [
        (("a.png", [model], [task]), "'a.png' is no prompt"),
        ((prompt(0), "tiny-blip2", [task]), "'tiny-blip2' is no model"),
        ((prompt(0), 7, [task]), "7 is no model"),
        ((prompt(0), [model], ["scenes"]), "'scenes' is no task"),
        (({"a": ["b.png"]}, [model], [task]), "is no prompt"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            check_kinds(*arguments)
    check_kinds({"a": [prompt(0)]}, [model], [task])


def test_scores_are_what_the_model_says_of_the_shown_picture(model, task):
    some = prompt(0.5)
    unit = Judged(model, task, shown({"tvp": [some]})[-1], 0, "ranking")
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
        {
            "image": f"data/{p}/{n}/0.png",
            "answer": n,
            "split": p,
            "candidates": ["cat", "dog"],
        }
        for p in ("train", "test")
        for n in ("cat", "dog")
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = tmp_path / ("data" if kind == "folders" else "data.jsonl")

    def asked():
        task = read(source)
        showing = shown({"tvp": [prompt(0.5)]})[-1]
        return task.fingerprint, Judged(model, task, showing, 0, "ranking").key

    first = asked()
    assert asked() == first
    file = tmp_path / "data" / "test" / "dog" / "0.png"
    picture().save(file)
    second = asked()
    assert second[0] != first[0] and second[1] != first[1]
    file.touch()
    assert asked() == second  # the same picture
    picture().save(tmp_path / "data" / "train" / "dog" / "0.png")
    third = asked()
    assert third[0] != second[0]
    assert third[1] == second[1]  # nothing is judged on the training part


def test_a_judged_unit_is_found_again_and_any_change_is_a_new_one(model, task):
    ways = shown({"tvp": [prompt(0.5)]})
    unit = Judged(model, task, ways[-1], 0, "ranking")
    store = ScoreStore()
    assert judge(unit, store) is judge(unit, store)
    others = [
        Judged(model, task, ways[0], 0, "ranking"),
        Judged(model, task, shown({"tvp": [prompt(0.51)]})[-1], 0, "ranking"),
        Judged(
            model,
            dataclasses.replace(task, test=task.test[:-1]),
            ways[-1],
            0,
            "ranking",
        ),
        Judged(model, task, ways[-1], 0, "generation"),
        Judged(model, task, ways[-1], 0, "ranking", "bfloat16"),
    ]
    assert len({unit.key, *(o.key for o in others)}) == 6


def test_other_weights_under_the_same_name_are_judged_anew(task):
    ours = load_model("tiny-blip2")
    before = Judged(ours, task, shown({"tvp": [prompt(0.5)]})[-1], 0, "ranking")
    theirs = load_model("tiny-blip2")
    theirs.model.language_model.lm_head.weight.data[0] += 1
    after = dataclasses.replace(before, model=theirs)
    assert ours.encoder == theirs.encoder and before.key != after.key


def test_generation_counts_what_cannot_be_parsed(model, task):
    table = evaluate(prompt(0.0), model, task, scorers=["generation"])
    cell = next(c for c in table.results().cells if c.condition == "full")
    assert cell.metric == "accuracy" and 0 <= cell.unparsable <= 1 - cell.value
    scored = table.scored("tiny-blip2", task, "full", "generation")[0]
    assert len(scored.texts) == 24 and (scored.scores.sum(axis=1) == 1).all()


@pytest.mark.parametrize("batch_size", [2, 32])
def test_samples_may_have_fewer_candidates_than_others(model, task, batch_size):
    first, *rest = task.test[:6]
    pair = tuple(dict.fromkeys([first.answer, *first.candidates]))[:2]
    fewer = dataclasses.replace(first, candidates=pair)
    mixed = dataclasses.replace(
        task, test=(*rest[:2], fewer, fewer_too(fewer), *rest[2:])
    )
    unit = Judged(model, mixed, shown({"p": [prompt(0.0)]})[0], 0, "ranking")
    scored = judge(unit, ScoreStore(), batch_size)
    assert np.isneginf(scored.scores[2:4, 2:]).all()
    assert np.isfinite(scored.scores[[0, 1, 4, 5]]).all()


def fewer_too(sample):
    return dataclasses.replace(sample, id=f"{sample.id}-again")


class Parrot(Ranks, Generates):
    """Says one word to everything and ranks candidates by a table."""

    def __init__(self, word, likelihoods=None):
        self.name = f"parrot-{word}"
        self.word = word
        self.likelihoods = likelihoods or {}

    def generate(self, images, questions, *, max_new_tokens=16):
        return [self.word] * len(questions)

    def candidate_log_likelihoods(
        self, images, questions, candidates, *, length_normalised=True
    ):
        rows = [
            [self.likelihoods.get(name, -9.0) for name in names] for names in candidates
        ]
        return torch.tensor(rows)


def open_task(task, answers, accepted=(), candidates=()):
    samples = [
        dataclasses.replace(s, answer=answer, candidates=candidates, accepted=accepted)
        for s, answer in zip(task.test, answers)
    ]
    return dataclasses.replace(
        task, test=tuple(samples), train=tuple(samples[:0]) or task.train
    )


def value(model, task, scorer):
    results = evaluate(prompt(0), model, task, scorers=[scorer]).results()
    return next(cell.value for cell in results.cells if cell.condition == "full")


def test_open_answers_are_judged_by_what_is_written(task):
    asked = open_task(task, ["a red ball", "ball", "a cube", "two"])
    assert value(Parrot("It is a red ball."), asked, "generation") == 0.5
    with pytest.raises(
        TaskError, match=r"judge what models write \(scorers: generation\)"
    ):
        value(Parrot("ball"), asked, "ranking")


def test_any_of_several_accepted_answers_is_right(task):
    asked = open_task(task, ["ball", "cube"], accepted=("sphere",))
    assert value(Parrot("a sphere"), asked, "generation") == 1.0
    names = ("ball", "cube", "sphere", "cone")
    asked = open_task(task, ["ball", "cube"], accepted=("sphere",), candidates=names)
    assert value(Parrot("", {"sphere": -1.0, "cone": -2.0}), asked, "ranking") == 1.0
    assert value(Parrot("", {"sphere": -2.0, "cone": -1.0}), asked, "ranking") == 0.0
    assert value(Parrot("a cone"), asked, "generation") == 0.0


def test_vqa_accuracy_counts_who_gave_that_answer(task):
    asked = open_task(task, ["hat", "hat"], accepted=("cap",))
    test = [dataclasses.replace(s, votes=(2, 8)) for s in asked.test[:2]]
    asked = dataclasses.replace(asked, test=tuple(test), metric="vqa")
    assert value(Parrot("a hat."), asked, "generation") == pytest.approx(0.6)
    assert value(Parrot("Cap"), asked, "generation") == 1.0
    assert value(Parrot("a hat or a cap"), asked, "generation") == 0.0
    plain = dataclasses.replace(asked, metric="accuracy")
    assert value(Parrot("a hat."), plain, "generation") == 1.0


def test_a_tasks_other_metrics_are_measured_beside(task):
    asked = open_task(task, ["no", "yes", "no", "no"], candidates=("no", "yes"))
    train = tuple(dataclasses.replace(s, id=f"{s.id}-t") for s in asked.test)
    asked = dataclasses.replace(
        asked, train=train, metric="f1", also=("accuracy", "yes-rate")
    )
    says_yes = Parrot("", {"yes": -1.0})
    results = evaluate(prompt(0), says_yes, asked).results()
    assert results.cells[0].value == pytest.approx(0.4)
    assert results.cells[0].also == {"accuracy": 0.25, "yes-rate": 1.0}
    with pytest.raises(
        TaskError, match="Metric 'yes-rate' needs the same 2 candidates"
    ):
        dataclasses.replace(task, also=("yes-rate",))


def test_exact_ties_count_for_a_share_whatever_the_order_of_names(task):
    for names in (("aardvark", "zebra"), ("zebra", "aardvark")):
        asked = open_task(task, ["aardvark"] * 9 + ["zebra"], candidates=names)
        assert (
            value(Parrot("", {"aardvark": -3.0, "zebra": -3.0}), asked, "ranking")
            == 0.5
        )


def test_candidates_that_a_model_cannot_tell_apart_are_named(task):
    asked = open_task(task, ["ape", "bee", "cow"], candidates=("ape", "bee", "cow"))
    table = evaluate(prompt(0), Parrot("", {"ape": -3, "bee": -3, "cow": -1}), asked)
    assert table.notes() == [
        "parrot- scores 'ape' and 'bee' of scenes-recognition exactly alike for every picture: it"
        " cannot tell them apart, and ties count for a share."
    ]
    apart = evaluate(prompt(0), Parrot("", {"ape": -3, "bee": -2, "cow": -1}), asked)
    assert apart.notes() == []


def test_nothing_to_judge_by_is_refused(model, task):
    bare = dataclasses.replace(task.test[0], candidates=())
    with pytest.raises(TaskError, match="has no candidates"):
        evaluate(prompt(0.1), model, dataclasses.replace(task, test=(bare,)))


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_scores_that_a_kill_has_torn_count_as_none(tmp_path, content):
    scored = Scored(np.zeros((2, 3)), np.zeros(2, dtype=np.int64), ("a", "b"))
    FolderStore(tmp_path).put("key", scored)
    found = FolderStore(tmp_path).get("key")
    assert found is not None and found.texts == ("a", "b")
    (tmp_path / "key.npz").write_bytes(content)
    assert FolderStore(tmp_path).get("key") is None
