"""Which classes stand for answers: the rules, by hand and a second time; where they are counted."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from matboard.errors import ModelError, TaskError
from matboard.models.capabilities import FrozenModel
from matboard.models.classifier import Classifier
from matboard.models.label_mapping import (
    LabelMapping,
    counted,
    frequency_mapping,
    random_mapping,
)
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Sample, Task
from matboard.transfer.conditions import as_learned, conditions
from matboard.transfer.evaluate import Judged, ScoreStore, evaluate, judge
from matboard.transfer.fit import Fit
from matboard.transfer.mapping import answers_of, kept_mappings, mapping_of, taken_for
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import NormalisedGradient, Schedule
from matboard.transfer.processes import Processes
from matboard.transfer.terms.candidate_contrast import CandidateContrast
from matboard.transfer.terms.task_loss import TaskLoss
from matboard.transfer.validation import Validation, split

CANVAS = Canvas(8, 2)
LEVELS = {"dark": 10, "bright": 210}


# -- the rules


def test_frequent_pairs_are_matched_first_by_hand():
    counts = np.array([[5, 9, 0], [6, 8, 1]])
    # answer 0 takes class 1 (9); answer 1 is left class 0 (6), though 8 were taken for class 1
    assert frequency_mapping(counts).tolist() == [1, 0]
    # nothing was counted for the second: the lowest class left
    assert frequency_mapping(np.array([[0, 3, 0], [0, 0, 0]])).tolist() == [1, 0]
    assert counts.tolist() == [[5, 9, 0], [6, 8, 1]]


@pytest.mark.parametrize("seed", range(20))
def test_a_naive_second_matching_agrees(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, size=(4, 9))
    pairs = [(-counts[a, c], c, a) for a in range(4) for c in range(9)]
    expected = {}
    for _, own, answer in sorted(pairs):
        if answer not in expected and own not in expected.values():
            expected[answer] = own
    assert frequency_mapping(counts).tolist() == [expected[a] for a in range(4)]


def test_pictures_are_counted_by_answer_and_class():
    taken = np.array([2, 2, 0, 1])
    found = counted(taken, [0, 0, 1, 1], answers=2, classes=4)
    assert found.tolist() == [[0, 0, 2, 0], [1, 1, 0, 0]]


def test_a_drawn_mapping_is_one_to_one_and_always_the_same():
    drawn = random_mapping(10, 1000)
    assert len(set(drawn.tolist())) == 10
    assert drawn.tolist() == random_mapping(10, 1000).tolist()
    assert drawn.tolist() != random_mapping(10, 1000, seed=1).tolist()


def test_columns_are_looked_up_by_answer():
    mapping = LabelMapping(("cat", "dog"), (7, 3))
    assert mapping.columns([["dog", "cat"], ["cat", "cat"]]) == [[3, 7], [7, 7]]
    with pytest.raises(ModelError, match="No class stands for the answer 'frog'"):
        mapping.columns([["frog"]])


# -- a classifier that sees how bright a picture is


class Brightness(torch.nn.Module):
    """Class c is likeliest where a picture's mean brightness is c / 4."""

    def __init__(self):
        super().__init__()
        names = {place: f"level {place}" for place in range(5)}
        self.config = SimpleNamespace(
            num_labels=5, id2label=names, name_or_path="brightness"
        )
        self.device = torch.device("cpu")
        self.dtype = torch.float32

    @property
    def base_model(self):
        return self

    def forward(self, pixel_values):
        mean = pixel_values.mean(dim=(1, 2, 3))[:, None]
        centres = torch.arange(5) / 4
        return SimpleNamespace(logits=-50 * (mean - centres).square())


@dataclass
class Plain:
    """An image processor that only rescales."""

    do_resize: bool = False
    do_center_crop: bool = False
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = False

    def __call__(self, images, return_tensors):
        pixels = [np.asarray(image).transpose(2, 0, 1) / 255 for image in images]
        return {"pixel_values": torch.tensor(np.stack(pixels), dtype=torch.float32)}


def brightness(rule="iterative"):
    return Classifier(Brightness(), Plain(), rule=rule, name="brightness")


def sample(part, number, answer):
    level = LEVELS[answer] + number
    picture = Image.new("RGB", (4, 4), (level, level, level))
    names = ("dark", "bright")
    return Sample(f"{part}/{number}{answer}", lambda: picture, "?", answer, names)


def plain_task():
    train = [sample("train", n, answer) for n in range(6) for answer in LEVELS]
    test = [sample("test", n, answer) for n in range(6, 9) for answer in LEVELS]
    return Task("levels", tuple(train), tuple(test))


class Other(FrozenModel):
    name = "another"


def border(level):
    prompt = PixelPrompt(CANVAS, level=level)
    return prompt.to_artifact({"level": level})


def test_pictures_are_taken_for_what_they_are_shown_as():
    pictures = [sample.load() for sample in plain_task().train]
    untouched = taken_for(brightness(), iter(pictures), None, batch_size=5)
    assert untouched.tolist() == [0, 3] * 6
    # behind a white border of three quarters of the canvas: 0.75 + 0.25 · 0.04 or 0.82
    white = taken_for(brightness(), iter(pictures), border(1.0), batch_size=5)
    assert white.tolist() == [3, 4] * 6


@pytest.mark.parametrize(
    ("rule", "prompted"), [("iterative", (3, 4)), ("frequency", (0, 3))]
)
def test_a_mapping_is_made_for_what_is_shown_or_for_untouched_pictures(rule, prompted):
    model = brightness(rule)
    task = plain_task()
    kept = kept_mappings([model, Other()], task.train, border(1.0))
    answers = kept["brightness"]["answers"]
    assert kept["brightness"]["rule"] == rule
    assert [answers[name]["class"] for name in LEVELS] == list(prompted)
    assert answers["dark"]["name"] == f"level {prompted[0]}"


@pytest.mark.parametrize(
    ("rule", "right"),
    # under a white border a mapping of untouched pictures takes the dark ones for bright ones
    [("iterative", {"full": 1.0, "white": 1.0}), ("frequency", {"white": 0.5})],
)
def test_every_condition_is_judged_by_its_own_mapping(rule, right):
    shown = conditions(as_learned({"white": [border(1.0)]}))
    store = ScoreStore()
    for showing in shown:
        if showing.name not in right:
            continue
        unit = Judged(brightness(rule), plain_task(), showing, 0, "ranking")
        scored = judge(unit, store)
        found = (scored.scores.argmax(axis=1) == scored.labels).mean()
        assert found == right[showing.name]


def test_what_training_pictures_are_taken_for_is_found_again(monkeypatch):
    showing = conditions(as_learned({"white": [border(1.0)]}))[0]
    store = ScoreStore()
    first = Judged(brightness("frequency"), plain_task(), showing, 0, "ranking")
    expected = judge(first, store)
    monkeypatch.setattr("matboard.transfer.evaluate.taken_for", None)
    again = Judged(brightness("iterative"), plain_task(), showing, 0, "ranking")
    assert again.key != first.key
    assert (judge(again, store).scores == expected.scores).all()


def test_scores_of_a_classifier_depend_on_the_training_pictures():
    showing = conditions(as_learned({"white": [border(1.0)]}))[0]
    task = plain_task()
    fewer = Task("levels", task.train[2:], task.test)
    keys = {
        Judged(brightness(), one, showing, 0, "ranking").key for one in (task, fewer)
    }
    assert len(keys) == 2


# -- while a prompt is learned


def learning(rule, steps=6, models=None, objective=None, validation=None):
    contrast = Objective(TaskLoss(weight=0), CandidateContrast(weight=1))
    return Fit(
        PixelPrompt(CANVAS, level=0.5),
        models or [brightness(rule)],
        plain_task(),
        objective=objective or contrast,
        optimiser=NormalisedGradient(Schedule(6.0, steps)),
        batch_size=4,
        validation=validation,
        processes=Processes(),
    )


def mappings(fit):
    """The mapping after every step."""
    return [fit.models[0].mapping.classes for _ in fit]


def test_an_iterative_mapping_is_made_anew_with_every_epoch_and_no_sooner():
    fit = learning("iterative", steps=9)
    expected = []
    shown = None
    for step in range(9):
        if step % 3 == 0:  # 12 pictures, 4 a step
            shown = fit.prompt.to_artifact()
            pictures = (one.load() for one in plain_task().train)
            taken = taken_for(brightness(), pictures, shown)
            made = mapping_of(brightness(), plain_task().train, lambda t=taken: t)
        next(fit)
        expected.append(made.classes)
        assert fit.models[0].mapping.classes == made.classes
    assert len(set(expected)) > 1


def test_other_mappings_stay():
    assert set(mappings(learning("frequency"))) == {(0, 3)}
    drawn = tuple(random_mapping(2, 5).tolist())
    assert set(mappings(learning("random"))) == {drawn}


@pytest.mark.parametrize("rule", ["iterative", "frequency", "random"])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_fit_maps_as_the_uninterrupted_one(rule, stop):
    whole = learning(rule)
    expected = mappings(whole)
    first = learning(rule)
    for _ in range(stop):
        next(first)
    second = learning(rule)
    second.load_state(first.state())
    assert mappings(second) == expected[stop:]
    assert torch.equal(second.prompt.delta, whole.prompt.delta)


@pytest.mark.parametrize("rule", ["iterative", "frequency", "random"])
def test_a_classifier_is_validated_as_it_is_judged(rule):
    """By the mapping made for what is shown, on the pictures that are learned from."""
    how = Validation(share=0.4, every=1, patience=None)
    fit = learning(rule, steps=4, validation=how)
    _, held = split(how, plain_task(), 0)
    for step in fit:
        now = PixelPrompt(CANVAS)
        now.delta.data = fit.state().tensors["delta"]
        table = evaluate(now.to_artifact(), brightness(rule), held)
        judged = table.estimate("brightness", held, "prompt", "ranking").value
        assert step.validation == {"brightness": judged}
        untouched = table.estimate("brightness", held, "full", "ranking").value
        if step.index == 1:
            assert step.references["untouched"] == {"brightness": untouched}


def test_the_users_model_is_left_as_it_is():
    model = brightness()
    fit = learning("iterative", models=[model])
    fit.run()
    assert model.mapping is None and fit.models[0].mapping is not None


def test_comparing_candidates_is_proposed_where_no_answer_has_a_likelihood():
    said = (
        "brightness (Classifier) gives no answer a likelihood of its own, which task loss"
        " needs; it only compares candidates. Learn on it with 'objective: {task_loss: {weight:"
        " 0}, candidate_contrast: {weight: 1}}'."
    )
    with pytest.raises(ModelError) as refused:
        learning("iterative", objective=Objective())
    assert str(refused.value) == said


def test_what_cannot_be_mapped_is_refused():
    names = tuple(f"answer {number}" for number in range(6))
    many = [Sample("a", lambda: None, "?", names[0], names)]
    with pytest.raises(
        ModelError, match="brightness knows 5 classes, but the task has 6"
    ):
        mapping_of(brightness("random"), many, lambda: None)
    bare = [Sample("b", lambda: None, "?", "yes")]
    with pytest.raises(TaskError, match="Sample 'b' has no candidates, so no class"):
        answers_of(bare)


def test_a_record_of_mappings_is_json():
    kept = kept_mappings([brightness("random")], plain_task().train, border(0.0))
    assert json.loads(json.dumps(kept)) == kept
