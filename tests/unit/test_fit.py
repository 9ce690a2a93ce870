"""Learning on a real small model: it helps, it resumes exactly, and nothing but the prompt changes."""

import hashlib

import pytest
import torch

from matboard.errors import ConfigError, PreprocessingMismatch
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks import load_task
from matboard.transfer.fit import Fit, Processes, fit
from matboard.transfer.objectives import PRESETS, Objective
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Schedule
from matboard.zoo import load_guide, load_model

TVP = Objective(consistency_weight=1e-3, enrichment_weight=1e-3)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny-minigpt4")


@pytest.fixture(scope="module")
def other():
    return load_model("tiny-visualglm")


@pytest.fixture(scope="module")
def guide():
    return load_guide("tiny-guide")


@pytest.fixture(scope="module")
def task():
    return load_task("scenes-recognition/noise", train=32, test=16)


def learn(models, task, steps, *, objective=TVP, guide=None, optimiser=None, **options):
    chosen = optimiser or NormalisedGradient(Schedule(4.0, steps))
    options = {"batch_size": 4, "processes": Processes(), **options}
    return Fit(
        PixelPrompt(Canvas()),
        models,
        task,
        objective=objective,
        optimiser=chosen,
        guide=guide,
        **options,
    )


def test_the_loss_falls(model, task):
    optimiser = NormalisedGradient(Schedule(10.0, 30))
    losses = [
        s.loss
        for s in learn(
            [model],
            task,
            30,
            objective=Objective(),
            optimiser=optimiser,
            batch_size=32,
            diversity=False,
        )
    ]
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_tells_its_terms_apart(model, guide, task):
    fitting = learn([model], task, 3, guide=guide, diagnose_every=2)
    first, second = next(fitting), next(fitting)
    assert set(first.losses) == {"task_loss", "feature_consistency", "semantic_enrichment"}
    weighted = (
        first.losses["task_loss"]
        + 1e-3 * first.losses["feature_consistency"]
        - 1e-3 * first.losses["semantic_enrichment"]
    )
    assert first.loss == pytest.approx(weighted, rel=1e-5)
    assert set(first.gradient_norms) == {*first.losses, "total"} and set(second.gradient_norms) == {
        "total"
    }
    assert (
        all(-1.001 <= c <= 1.001 for c in first.gradient_cosines.values())
        and len(first.gradient_cosines) == 3
    )


def test_taking_terms_apart_changes_nothing(model, guide, task):
    apart, together = (learn([model], task, 3, guide=guide, diagnose_every=n) for n in (1, 0))
    for _ in range(3):
        next(apart), next(together)
    assert torch.allclose(apart.prompt.delta, together.prompt.delta, atol=1e-4)


@pytest.mark.parametrize("name", ["momentum", "normalised"])
def test_resume_is_exact(model, guide, task, name):
    def optimiser():
        return (
            GradientDescent(Schedule(5.0, 6, "cosine"))
            if name == "momentum"
            else NormalisedGradient(Schedule(4.0, 6))
        )

    whole = learn([model], task, 6, guide=guide, optimiser=optimiser())
    list(whole)
    half = learn([model], task, 6, guide=guide, optimiser=optimiser())
    for _ in range(3):
        next(half)
    rest = learn([model], task, 6, guide=guide, optimiser=optimiser())
    rest.load_state(half.state())
    list(rest)
    assert rest.step == 6
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)


def test_only_the_prompt_changes(model, guide, task):
    def fingerprint():
        frozen = [*model.model.parameters(), *guide.model.parameters()]
        return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in frozen)).hexdigest(), [
            p.grad for p in frozen
        ]

    before, _ = fingerprint()
    fitting = learn([model], task, 2, guide=guide)
    list(fitting)
    after, gradients = fingerprint()
    assert after == before and all(g is None for g in gradients)
    assert fitting.prompt.delta.abs().sum() > 0
    assert (fitting.prompt.delta * (1 - fitting.prompt.mask)).abs().sum() == 0


@pytest.mark.parametrize(
    ("value_range", "resolution"), [("clamped", None), ("sigmoid", None), ("free", 20)]
)
def test_a_step_is_what_autograd_through_the_prompt_gives(model, task, value_range, resolution):
    prompt = PixelPrompt(Canvas(), range=value_range, resolution=resolution)
    rate, start = 1e-2, prompt.delta.detach().clone()
    optimiser = GradientDescent(Schedule(rate, 1))
    fitting = Fit(
        prompt,
        [model],
        task,
        objective=Objective(),
        optimiser=optimiser,
        batch_size=4,
        processes=Processes(),
    )
    batch = fitting.batches.at(0)
    loss = model.answer_loss(prompt(batch.images), batch.questions, batch.answers).mean()
    (gradient,) = torch.autograd.grad(loss, prompt.delta)
    expected = start - rate * gradient
    next(fitting)
    assert gradient.abs().max() > 0
    assert torch.allclose(
        prompt.delta.detach(),
        expected.clamp(0, 1) if value_range == "clamped" else expected,
        atol=1e-7,
    )


def test_an_ensemble_is_the_mean_of_its_models(model, other, task):
    def one_step(models):
        fitting = learn(
            models, task, 1, objective=Objective(), optimiser=GradientDescent(Schedule(1e-3, 1))
        )
        step = next(fitting)
        return step, fitting.prompt.delta.detach()

    (_, a), (_, b) = one_step([model]), one_step([other])
    step, both = one_step([model, other])
    inside = (a > 0) & (b > 0) & (both > 0)  # a black border can only be pushed up
    assert inside.any() and torch.allclose(both[inside], (a + b)[inside] / 2, atol=1e-7)
    assert set(step.per_model) == {"tiny-minigpt4", "tiny-visualglm"}
    assert step.loss == pytest.approx(
        sum(m["task_loss"] for m in step.per_model.values()) / 2, rel=1e-5
    )


def test_the_codes_forms_learn_too(model, guide, task):
    from dataclasses import replace

    code = replace(PRESETS["authors-code"], consistency_weight=0.005, enrichment_weight=0.001)
    steps = list(learn([model], task, 2, objective=code, guide=guide))
    assert (
        steps[0].losses["feature_consistency"] == 0
    )  # an empty border is the code's reference itself
    assert steps[1].losses["feature_consistency"] > 0


def test_a_step_that_is_not_finite_is_skipped_and_counted(model, task, monkeypatch):
    fitting = learn([model], task, 3, objective=Objective())
    next(fitting)
    before = fitting.prompt.delta.detach().clone()
    answer = model.answer
    monkeypatch.setattr(
        model, "answer", lambda images, *a, **k: answer(images * float("nan"), *a, **k)
    )
    assert next(fitting).skipped == 1
    assert torch.equal(fitting.prompt.delta, before)
    monkeypatch.undo()
    assert next(fitting).skipped == 1
    assert not torch.equal(fitting.prompt.delta, before)


def test_clean_pictures_are_encoded_once(model, task, monkeypatch):
    fitting = learn(
        [model],
        task,
        16,
        objective=Objective(consistency_weight=1e-3),
        batch_size=4,
        diversity=False,
    )
    calls = []
    features = model.visual_features
    monkeypatch.setattr(
        model, "visual_features", lambda *a, **k: calls.append(1) or features(*a, **k)
    )
    list(fitting)
    assert len(calls) == len(task.train)


def test_what_cannot_be_learned_is_refused(model, task):
    with pytest.raises(ConfigError, match="enrichment_weight is above 0 but no guide was given"):
        learn([model], task, 1)
    with pytest.raises(ConfigError, match="A batch of 5 cannot be shared by 2 processes"):
        learn([model], task, 1, objective=Objective(), batch_size=5, processes=Processes(0, 2))
    with pytest.raises(ConfigError, match="No source model"):
        learn([], task, 1, objective=Objective())


def test_a_model_that_cannot_be_learned_on_is_refused_before_the_first_step(
    model, guide, task, monkeypatch
):
    monkeypatch.setitem(vars(model.preprocess), "refusal", "Its twin differs.")
    with pytest.raises(
        PreprocessingMismatch,
        match=r"^No prompt can be learned on tiny-minigpt4\. Its twin differs\.$",
    ):
        learn([model], task, 1, objective=Objective())
    monkeypatch.undo()
    monkeypatch.setitem(vars(guide.preprocess), "refusal", "Its twin differs.")
    with pytest.raises(PreprocessingMismatch, match=r"No prompt can be learned on .*tiny-guide"):
        learn([model], task, 1, guide=guide)
    learn(
        [model], task, 1, objective=Objective(), guide=guide
    )  # a guide that is not asked may be anything


def test_the_short_form(model, task):
    steps = fit(
        PixelPrompt(Canvas()),
        model,
        task,
        objective=Objective(),
        optimiser=NormalisedGradient(Schedule(1.0, 2)),
        batch_size=2,
    )
    assert len(steps) == 2 and [s.index for s in steps] == [1, 2]
