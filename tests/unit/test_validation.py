"""Early stopping: by hand, on a plain model, and through the artefact."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from plain_model import CANVAS, picture, plain_fit, plain_task
from ranking_model import RankingModel
from test_fit_processes import Meeting, Thread

from matboard.errors import ConfigError, ModelError, RunError, TaskError, UnknownName
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.transfer.batches import Batches
from matboard.transfer.convergence import by_loss, by_validation, convergence
from matboard.transfer.evaluate import evaluate
from matboard.transfer.mapping import FitMappings
from matboard.transfer.optimisers import GradientDescent, Schedule
from matboard.transfer.processes import Processes
from matboard.transfer.validation import Best, Validation, resolve, split, steps_of
from matboard.transfer.validator import Validator

EACH = Validation(share=0.5, every=1, patience=2)


def scripted(monkeypatch, scores):
    """Validation says these scores one after the other, the start's first."""
    left = iter(scores)

    def said(self, values):
        return {"plain-0": 0.5 if values is None else next(left)}

    monkeypatch.setattr(Validator, "scores", said)


def validated_fit(steps=10, validation=EACH, **options):
    options = {"models": [RankingModel()], **options}
    return plain_fit(steps, validation=validation, **options)


# -- the rule


def test_patience_counts_validations_without_a_better_one():
    best = Best(0, 0.5)
    seen = []
    for step, score in enumerate([0.4, 0.6, 0.6, 0.55, 0.7, 0.1, 0.2, 0.7], start=1):
        best = best.after(step, score)
        seen.append((best.step, best.waited, best.stops(Validation(patience=3))))
    assert seen == [
        (0, 1, False),
        (2, 0, False),
        (2, 1, False),  # an equal score is no better one
        (2, 2, False),
        (5, 0, False),
        (5, 1, False),
        (5, 2, False),
        (5, 3, True),
    ]
    assert not best.stops(Validation(patience=None))


def test_a_fit_stops_when_patience_runs_out_and_keeps_the_best(monkeypatch):
    scripted(monkeypatch, [0.3, 0.4, 0.6, 0.5, 0.6, 0.9])
    fitting = validated_fit()
    after = []
    for step in fitting:
        assert step.validation.keys() == {"plain-0"}
        after.append(fitting.state().tensors["delta"])
    assert fitting.step == len(after) == 4
    assert fitting.best == Best(2, 0.6, waited=2)
    assert fitting.stopped and fitting.finished
    assert torch.equal(fitting.prompt.delta, after[1])
    assert not torch.equal(after[1], after[3])
    with pytest.raises(StopIteration):
        next(fitting)


def test_the_start_is_a_candidate_too(monkeypatch):
    scripted(monkeypatch, [0.9, 0.4, 0.6])
    fitting = validated_fit()
    first, _ = fitting.run()
    assert first.references == {
        "untouched": {"plain-0": 0.5},
        "start": {"plain-0": 0.9},
    }
    assert fitting.best == Best(0, 0.9, waited=2)
    assert torch.equal(fitting.prompt.delta, PixelPrompt(CANVAS).delta)


def test_without_patience_all_steps_are_made_and_the_best_is_kept(monkeypatch):
    scripted(monkeypatch, [0.3, 0.6, 0.5, 0.1])
    validation = Validation(share=0.5, every=2, patience=None)
    fitting = validated_fit(5, validation)
    steps = fitting.run()
    assert [bool(step.validation) for step in steps] == [False, True, False, True, True]
    assert fitting.best == Best(2, 0.6, waited=2)
    assert not fitting.stopped


def test_a_fit_without_validation_learns_from_everything():
    fitting = plain_fit(2)
    steps = fitting.run()
    assert (fitting.best, fitting.stopped) == (None, False)
    assert len(fitting.batches.samples) == len(plain_task().train)
    assert all(not step.validation and not step.references for step in steps)


# -- what is judged


def test_nothing_is_learned_from_what_judges():
    task = plain_task()
    for seed in range(5):
        learned, held = split(Validation(share=0.4), task, seed)
        ids = {sample.id for sample in learned.train}
        judged = {sample.id for sample in held.test}
        assert not ids & judged
        assert ids | judged == {sample.id for sample in task.train}
        fitting = validated_fit(validation=Validation(share=0.4), seed=seed)
        fitting.run()
        assert {sample.id for sample in fitting.batches.samples} == ids
    assert split(None, task, 0) == (task, None)


def test_the_split_is_no_larger_than_its_limit():
    _, held = split(Validation(share=0.5, limit=2), plain_task(), 0)
    assert len(held.test) == 2
    with pytest.raises(TaskError, match="holding out 12 leaves none"):
        split(Validation(share=0.99), plain_task(), 0)


def test_a_score_is_that_of_the_artefact():
    """Against the table that prompts are judged in, on the same held-out samples."""
    model = RankingModel()
    fitting = validated_fit(3, Validation(share=0.5, every=3), models=[model])
    first, _, last = fitting.run()
    _, held = split(fitting.validation, plain_task(), 0)
    now = PixelPrompt(CANVAS)
    now.delta.data = fitting.state().tensors["delta"]
    table = evaluate(now.to_artifact(), model, held)
    said = last.validation["plain-0"]
    assert table.estimate(model.name, held, "prompt", "ranking").value == said
    before = first.references
    full = table.estimate(model.name, held, "full", "ranking").value
    assert before["untouched"]["plain-0"] == full
    shrunk = table.estimate(model.name, held, "shrunk", "ranking").value
    assert before["start"]["plain-0"] == shrunk


def test_nothing_is_judged_twice():
    model = RankingModel()
    fitting = validated_fit(
        4, Validation(share=0.5, every=2, batch_size=4), models=[model]
    )
    fitting.run()
    validations = 2 + 2  # untouched and start, then after steps 2 and 4
    assert model.asked == [4, 2] * validations


def test_several_models_count_alike():
    models = [RankingModel(0), RankingModel(1)]
    fitting = validated_fit(2, Validation(share=0.5, every=2), models=models)
    fitting._validator._score = lambda model, task, prompt: float(model.name[-1])
    first, last = fitting.run()
    assert last.validation == first.references["start"] == {"plain-0": 0, "plain-1": 1}
    assert fitting.best == Best(0, 0.5, waited=1)


def test_pictures_are_decoded_and_shrunk_once():
    loads = []

    def load():
        loads.append(1)
        return picture(3)

    held = plain_task()
    held = replace(held, test=(replace(held.test[0], load=load),))
    prompt = PixelPrompt(CANVAS)
    models = [RankingModel(), RankingModel(1)]
    mappings = FitMappings(models, Batches(held.train, CANVAS, 4, seed=0))
    validator = Validator(EACH, held, mappings, prompt, Processes())
    for values in (prompt.delta, prompt.delta + 0.1, prompt.delta + 0.2):
        validator.scores(values.detach())
    assert len(loads) == 1


@pytest.mark.parametrize("policy", ["crop", "squash", "letterbox"])
def test_a_shrunk_picture_is_shrunk_no_further(policy):
    canvas = Canvas(16, 3, policy)
    wide = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (9, 14, 3), np.uint8)
    )
    once = canvas.shrink(wide)
    assert np.array_equal(np.asarray(canvas.shrink(once)), np.asarray(once))


def test_all_processes_follow_the_first():
    """What the second one measures would have stopped it at once."""
    meeting = Meeting(2)

    def one(index):
        fitting = validated_fit(6, processes=Thread(index, meeting), batch_size=4)
        own = iter([0.1, 0.2, 0.3, 0.2, 0.1] if index == 0 else [0.9] * 5)
        fitting._validator._score = lambda model, task, prompt: (
            0.0 if prompt is None else next(own)
        )
        fitting.run()
        return fitting.step, fitting.best, fitting.prompt.delta.detach()

    with ThreadPoolExecutor(2) as pool:
        (steps, best, learned), other = pool.map(one, range(2))
    assert (steps, best) == (4, Best(2, 0.3, waited=2))
    assert other[:2] == (steps, best)
    assert torch.equal(other[2], learned)


# -- resuming


def momentum(steps):
    return GradientDescent(Schedule(0.02, steps, "cosine"))


@pytest.mark.parametrize("at", range(1, 5))
def test_a_resumed_fit_stops_where_it_would_have_stopped(monkeypatch, at):
    script = [0.3, 0.2, 0.6, 0.5, 0.4, 0.9]
    scripted(monkeypatch, script)
    whole = validated_fit(9, optimiser=momentum(9))
    whole.run()
    scripted(monkeypatch, script)
    half = validated_fit(9, optimiser=momentum(9))
    for _ in range(at):
        next(half)
    rest = validated_fit(9, optimiser=momentum(9))
    rest.load_state(half.state())
    rest.run()
    assert (rest.step, rest.best) == (whole.step, whole.best) == (4, Best(2, 0.6, 2))
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)
    assert torch.equal(rest.state().tensors["delta"], whole.state().tensors["delta"])


def test_the_state_of_a_fit_without_validation_is_refused():
    fitting = plain_fit(3, models=[RankingModel()])
    fitting.run()
    with pytest.raises(RunError, match="The state of another fit came"):
        validated_fit(3).load_state(fitting.state())


# -- whether it had converged


def test_a_fit_that_stopped_had_converged(monkeypatch):
    scripted(monkeypatch, [0.3, 0.6, 0.5, 0.4])
    fitting = validated_fit()
    fitting.run()
    said = convergence(fitting, [])
    assert said.converged is True
    assert said.sentence == (
        "Converged: the best validation score, 0.600, came at step 1, and 2 validations"
        " after it, up to step 3, brought no better one."
    )


def test_a_fit_whose_best_came_late_had_not():
    said = by_validation(Best(950, 0.731, waited=1), Validation(), 1000)
    assert said.converged is False
    assert said.sentence == (
        "Still improving when its steps ran out: the best validation score, 0.731, came at step"
        " 950 of 1000. Give it more steps."
    )
    start = by_validation(Best(0, 0.6, waited=4), Validation(), 200)
    assert start.converged is False
    assert start.sentence == (
        "Not yet better than before learning when its 200 steps ran out: the validation score was"
        " 0.600 at the start. Give it more steps."
    )
    never = Validation(patience=None)
    assert by_validation(Best(9, 0.7, waited=5), never, 20).converged is True
    assert by_validation(Best(9, 0.7, waited=4), never, 20).converged is False


def test_without_validation_the_loss_of_the_last_tenths_tells():
    """Tenths of 10: means 2 and 1, each with variance 10/9 · 0.04; two errors are 0.189."""
    noise = [0.2, -0.2] * 5
    falling = [9.0] * 80 + [2 + x for x in noise] + [1 + x for x in noise]
    assert by_loss(falling).converged is False
    limit = 2 * math.sqrt(2 * (10 / 9 * 0.04) / 10)
    for fallen, converged in ((0.99 * limit, True), (1.01 * limit, False)):
        last = [2 - fallen + x for x in noise]
        assert (
            by_loss([9.0] * 80 + [2 + x for x in noise] + last).converged is converged
        )
    assert by_loss([float(step) for step in range(100)]).converged is True
    assert by_loss(falling).sentence == (
        "Still improving when its steps ran out: its training loss was falling (mean 1 over the"
        " last 10 steps, 2 over the 10 before). Give it more steps."
    )


def test_few_steps_tell_nothing():
    said = by_loss([1.0] * 99)
    assert said.converged is None
    assert said.sentence == (
        "Too few steps, 99, to tell from the training loss whether it had converged; 100 are"
        " enough."
    )
    assert by_loss([1.0] * 99 + [None, float("nan")]).converged is None


# -- settings


@pytest.mark.parametrize(
    ("steps", "epochs", "samples", "batch_size", "expected"),
    [
        (7, None, 50_000, 16, 7),
        (None, 1, 50_000, 16, 3125),  # TVP on CIFAR-10
        (None, 1, 50_001, 16, 3126),
        (None, 0.5, 100, 16, 4),
        (None, 1000, 16, 16, 1000),
    ],
)
def test_epochs_are_steps(steps, epochs, samples, batch_size, expected):
    assert steps_of(steps, epochs, samples, batch_size) == expected


@pytest.mark.parametrize("given", [(None, None), (3, 1.0)])
def test_steps_or_epochs_say_how_long(given):
    with pytest.raises(ConfigError, match="give one of them, which says how long"):
        steps_of(*given, 10, 2)


def test_what_is_asked_lies_over_the_methods_own():
    judged = {"scorer": "generation", "batch_size": 4}
    assert resolve(None, {}, judged) is None
    assert resolve({"every": 20}, None, judged) is None
    own = resolve({"every": 20, "patience": 9}, {"patience": None}, judged)
    assert own == {
        "share": 0.1,
        "limit": 200,
        "every": 20,
        "patience": None,
        "scorer": "generation",
        "batch_size": 4,
    }
    asked = resolve(None, {"scorer": "ranking"}, judged)
    assert (asked["scorer"], asked["patience"]) == ("ranking", 5)


def test_wrong_settings_are_named_in_full():
    with pytest.raises(UnknownName, match=r"'validation\.patienc'.*Did you mean"):
        resolve(None, {"patienc": 3}, {})
    with pytest.raises(ConfigError, match=r"'validation\.share' of validation: .*less"):
        Validation(share=1.0)
    with pytest.raises(ConfigError, match=r"'validation\.every'"):
        resolve(None, {"every": 0}, {})


def test_a_model_that_cannot_be_judged_is_refused_before_the_first_step():
    with pytest.raises(ModelError, match="which validation by ranking needs"):
        plain_fit(validation=EACH)
    with pytest.raises(ModelError, match="which validation by generation needs"):
        validated_fit(validation=Validation(share=0.5, scorer="generation"))
