"""Learning on a real small model: it helps, it resumes exactly, and nothing but the prompt
changes.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from matboard.errors import (
    ConfigError,
    ModelError,
    PreprocessingMismatch,
    TaskError,
    UnknownName,
)
from matboard.images import to_array
from matboard.models.capabilities import HasLikelihoods, Learnable
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks import load_task
from matboard.transfer import terms
from matboard.transfer.fit import Fit, fit
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Schedule
from matboard.transfer.passes import CleanFeatures, Needs
from matboard.transfer.processes import Processes
from matboard.transfer.terms.candidate_contrast import CandidateContrast
from matboard.transfer.terms.feature_consistency import FeatureConsistency
from matboard.transfer.terms.semantic_enrichment import SemanticEnrichment
from matboard.transfer.terms.task_loss import TaskLoss
from matboard.transfer.terms.term import CanvasTerm, ModelTerm
from matboard.zoo import load_guide, load_model

TVP = Objective(FeatureConsistency(weight=1e-3), SemanticEnrichment(weight=1e-3))


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


def learn(
    models, task, steps, *, objective=TVP, prompt=None, optimiser=None, **options
):
    options = {"batch_size": 4, "processes": Processes(), **options}
    return Fit(
        prompt or PixelPrompt(Canvas()),
        models,
        task,
        objective=objective,
        optimiser=optimiser or NormalisedGradient(Schedule(4.0, steps)),
        **options,
    )


def test_the_loss_falls(model, task):
    optimiser = NormalisedGradient(Schedule(10.0, 30))
    options = {"optimiser": optimiser, "batch_size": 32, "diversity": False}
    fitting = learn([model], task, 30, objective=Objective(), **options)
    losses = [step.loss for step in fitting]
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_tells_its_terms_apart(model, guide, task):
    fitting = learn([model], task, 3, guide=guide, diagnose_every=2)
    first = next(fitting)
    second = next(fitting)
    losses = first.losses
    assert set(losses) == {"task_loss", "feature_consistency", "semantic_enrichment"}
    moved = 1e-3 * losses["feature_consistency"]
    alike = 1e-3 * losses["semantic_enrichment"]
    assert first.loss == pytest.approx(losses["task_loss"] + moved - alike, rel=1e-5)
    assert set(first.gradient_norms) == {*losses, "total"}
    assert set(second.gradient_norms) == {"total"}
    assert len(first.gradient_cosines) == 3
    assert all(-1.001 <= cosine <= 1.001 for cosine in first.gradient_cosines.values())


def test_taking_terms_apart_changes_nothing(model, guide, task):
    apart = learn([model], task, 3, guide=guide, diagnose_every=1)
    together = learn([model], task, 3, guide=guide, diagnose_every=0)
    list(apart)
    list(together)
    assert torch.allclose(apart.prompt.delta, together.prompt.delta, atol=1e-4)


OPTIMISERS = {
    "momentum": lambda: GradientDescent(Schedule(5.0, 6, "cosine")),
    "normalised": lambda: NormalisedGradient(Schedule(4.0, 6)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_resume_is_exact(model, guide, task, name):
    whole, half, rest = (
        learn([model], task, 6, guide=guide, optimiser=OPTIMISERS[name]())
        for _ in range(3)
    )
    list(whole)
    for _ in range(3):
        next(half)
    rest.load_state(half.state())
    list(rest)
    assert rest.step == 6
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)


def test_only_the_prompt_changes(model, guide, task):
    frozen = [*model.model.parameters(), *guide.model.parameters()]

    def fingerprint():
        values = b"".join(p.detach().numpy().tobytes() for p in frozen)
        return hashlib.sha256(values).hexdigest()

    before = fingerprint()
    fitting = learn([model], task, 2, guide=guide)
    list(fitting)
    assert fingerprint() == before
    assert all(p.grad is None for p in frozen)
    assert fitting.prompt.delta.abs().sum() > 0
    assert (fitting.prompt.delta * (1 - fitting.prompt.mask)).abs().sum() == 0


@pytest.mark.parametrize(
    ("value_range", "resolution"), [("clamped", None), ("sigmoid", None), ("free", 20)]
)
def test_a_step_is_what_autograd_through_the_prompt_gives(
    model, task, value_range, resolution
):
    prompt = PixelPrompt(Canvas(), range=value_range, resolution=resolution)
    rate = 1e-2
    start = prompt.delta.detach().clone()
    optimiser = GradientDescent(Schedule(rate, 1))
    fitting = learn(
        [model], task, 1, objective=Objective(), prompt=prompt, optimiser=optimiser
    )
    batch = fitting.batches.at(0)
    loss = model.answer_loss(
        prompt(batch.images), batch.questions, batch.answers
    ).mean()
    (gradient,) = torch.autograd.grad(loss, prompt.delta)
    expected = start - rate * gradient
    if value_range == "clamped":
        expected = expected.clamp(0, 1)
    next(fitting)
    assert gradient.abs().max() > 0
    assert torch.allclose(prompt.delta.detach(), expected, atol=1e-7)


def test_an_ensemble_is_the_mean_of_its_models(model, other, task):
    def one_step(models):
        optimiser = GradientDescent(Schedule(1e-3, 1))
        fitting = learn(models, task, 1, objective=Objective(), optimiser=optimiser)
        step = next(fitting)
        return step, fitting.prompt.delta.detach()

    _, a = one_step([model])
    _, b = one_step([other])
    step, both = one_step([model, other])
    inside = (a > 0) & (b > 0) & (both > 0)  # a black border can only be pushed up
    assert inside.any()
    assert torch.allclose(both[inside], (a + b)[inside] / 2, atol=1e-7)
    assert set(step.per_model) == {"tiny-minigpt4", "tiny-visualglm"}
    losses = [own["task_loss"] for own in step.per_model.values()]
    assert step.loss == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_the_codes_forms_learn_too(model, guide, task):
    weights = {
        "feature_consistency": {"weight": 0.005},
        "semantic_enrichment": {"weight": 0.001},
    }
    code = terms.objective({"preset": "authors-code", **weights})
    first, second = learn([model], task, 2, objective=code, guide=guide)
    # an empty border is the code's reference itself
    assert first.losses["feature_consistency"] == 0
    assert second.losses["feature_consistency"] > 0


def test_a_step_that_is_not_finite_is_skipped_and_counted(model, task, monkeypatch):
    fitting = learn([model], task, 3, objective=Objective())
    next(fitting)
    before = fitting.prompt.delta.detach().clone()
    answer = model.answer

    def broken(images, *rest, **options):
        return answer(images * float("nan"), *rest, **options)

    monkeypatch.setattr(model, "answer", broken)
    assert next(fitting).skipped == 1
    assert torch.equal(fitting.prompt.delta, before)
    monkeypatch.undo()
    assert next(fitting).skipped == 1
    assert not torch.equal(fitting.prompt.delta, before)


def counted(monkeypatch, thing, method):
    calls = []
    original = getattr(thing, method)

    def counting(*args, **options):
        calls.append(options)
        return original(*args, **options)

    monkeypatch.setattr(thing, method, counting)
    return calls


def test_clean_pictures_are_encoded_once(model, task, monkeypatch):
    objective = Objective(FeatureConsistency(weight=1e-3))
    fitting = learn([model], task, 16, objective=objective, diversity=False)
    seen = []
    original = model.visual_features
    monkeypatch.setattr(
        model,
        "visual_features",
        lambda images, *rest: seen.append(len(images)) or original(images, *rest),
    )
    list(fitting)
    assert sum(seen) == len(task.train)
    assert max(seen) > 1


def test_clean_features_do_not_depend_on_what_was_asked_before(model, task):
    """A run that was interrupted anywhere must find the same bits."""
    fitting = learn([model], task, 2, objective=Objective())
    batches = [fitting.batches.at(step) for step in range(3)]

    def of(clean, batch):
        return clean.of(model, "vision", "full", batch, torch.device("cpu"))

    resumed = of(CleanFeatures(fitting.batches), batches[2])
    clean = CleanFeatures(fitting.batches)
    for batch in batches:
        last = of(clean, batch)
    assert torch.equal(last, resumed)
    pictures = []
    for index, view in zip(batches[2].indices, batches[2].views, strict=True):
        picture = fitting.batches.picture(index)
        full = fitting.batches.canvas.full(picture, mirror=view.mirror)
        pictures.append(torch.from_numpy(to_array(full)))
    for picture, question, ours in zip(pictures, batches[2].questions, last):
        naive = model.visual_features(picture[None], "vision", [question])[0]
        assert torch.allclose(ours, naive, atol=1e-4)


def test_captions_are_encoded_once(model, guide, task, monkeypatch):
    calls = counted(monkeypatch, guide, "text_features")
    list(learn([model], task, 8, guide=guide))
    captions = {sample.caption or sample.answer for sample in task.train}
    assert len(calls) == len(captions)


def test_one_pass_serves_all_terms(model, guide, task, monkeypatch):
    passes = counted(monkeypatch, model, "answer")
    looks = counted(monkeypatch, guide, "image_features")
    list(learn([model], task, 2, guide=guide))
    assert len(passes) == 2
    assert passes[0]["taps"] == ["vision"]
    assert len(looks) == 2


# -- terms that the package does not have


@dataclass(frozen=True, kw_only=True)
class Brightness(CanvasTerm):
    """The sum of all pixels."""

    name: ClassVar[str] = "brightness"
    title: ClassVar[str] = "brightness"
    sign: ClassVar[float] = -1.0

    def value(self, canvases):
        return canvases.sum()


@dataclass(frozen=True, kw_only=True)
class Energy(ModelTerm):
    """How large the features are."""

    name: ClassVar[str] = "energy"
    title: ClassVar[str] = "energy"

    @property
    def needs(self):
        return Needs(taps=frozenset({"projector"}))

    def value(self, seen):
        return seen.features("projector").square().sum()


def test_a_term_of_the_canvas_pulls_as_far_as_it_can(model, task):
    only_brightness = Objective(TaskLoss(weight=0.0), Brightness(weight=1.0))
    prompt = PixelPrompt(Canvas())
    optimiser = GradientDescent(Schedule(1.0, 1))
    options = {"prompt": prompt, "optimiser": optimiser}
    (step,) = learn([model], task, 1, objective=only_brightness, **options)
    assert step.losses.keys() == {"brightness"}
    assert step.loss == -step.losses["brightness"]
    border = prompt.mask.expand(3, -1, -1) > 0
    assert (prompt.delta[border] == 1).all()


def test_terms_over_candidates_and_over_features_pull_beside_the_others(
    model, guide, task
):
    both = Objective(*TVP.terms, CandidateContrast(weight=0.5), Energy(weight=1e-4))
    step = next(learn([model], task, 1, objective=both, guide=guide))
    assert list(step.losses) == [
        "task_loss",
        "feature_consistency",
        "candidate_contrast",
        "energy",
        "semantic_enrichment",
    ]
    assert len(step.gradient_cosines) == 10
    assert all(norm > 0 for norm in step.gradient_norms.values())


def test_features_alone_need_no_answers(model, task, monkeypatch):
    passes = counted(monkeypatch, model, "answer")
    objective = Objective(TaskLoss(weight=0.0), Energy(weight=1.0))
    list(learn([model], task, 2, objective=objective))
    assert passes == []


def test_the_answer_and_its_rivals_share_one_look_at_each_picture(
    model, task, monkeypatch
):
    seen = counted(monkeypatch, model, "_encode")
    read = counted(monkeypatch, model.language, "score")
    objective = Objective(TaskLoss(weight=0.1), CandidateContrast(weight=1.0))
    (step,) = learn([model], task, 1, objective=objective, diagnose_every=0)
    assert len(seen) == 1
    assert read == []  # the answer is one of the candidates
    contrast = Objective(TaskLoss(weight=0.0), CandidateContrast(weight=1.0))
    alone = [
        next(learn([model], task, 1, objective=objective)).losses
        for objective in (Objective(TaskLoss()), contrast)
    ]
    assert step.losses == pytest.approx({**alone[0], **alone[1]}, rel=1e-5)


def test_samples_may_have_candidates_of_different_number(model, task):
    first, second, *rest = task.train[:4]
    other = next(c for c in first.candidates if c != first.answer)
    short = replace(first, candidates=(other, first.answer))
    ragged = replace(task, train=(short, second, *rest))
    objective = Objective(CandidateContrast(weight=1.0))
    (step,) = learn([model], ragged, 1, objective=objective)
    assert step.losses["candidate_contrast"] > 0
    assert step.skipped == 0


# -- what is refused


class OnlyLearnable(Learnable, HasLikelihoods):
    name = "plain"
    refusal = None

    def answer(self, images, questions, answers, **options):
        raise AssertionError("never asked")


def test_what_cannot_be_learned_is_refused(model, task):
    with pytest.raises(
        ConfigError, match="has semantic enrichment, but no guide was given"
    ):
        learn([model], task, 1)
    with pytest.raises(
        ConfigError, match="A batch of 5 cannot be shared by 2 processes"
    ):
        learn(
            [model],
            task,
            1,
            objective=Objective(),
            batch_size=5,
            processes=Processes(0, 2),
        )
    with pytest.raises(ConfigError, match="No source model"):
        learn([], task, 1, objective=Objective())
    with pytest.raises(
        ConfigError, match="Two source models are called 'tiny-minigpt4'"
    ):
        learn([model, model], task, 1, objective=Objective())


def test_a_model_that_lacks_what_a_term_needs_is_refused(task):
    consistency = Objective(FeatureConsistency(weight=1.0))
    said = r"cannot show its visual features, which feature consistency needs"
    with pytest.raises(ModelError, match=said):
        learn([OnlyLearnable()], task, 1, objective=consistency)
    with pytest.raises(
        ModelError,
        match=r"cannot rank candidate answers, which candidate contrast needs",
    ):
        learn(
            [OnlyLearnable()],
            task,
            1,
            objective=Objective(CandidateContrast(weight=1.0)),
        )


def test_a_tap_that_a_model_does_not_have_is_refused_before_the_first_step(model, task):
    consistency = Objective(FeatureConsistency(weight=1.0, tap="qformr"))
    with pytest.raises(
        UnknownName, match=r"Unknown tap of tiny-minigpt4 'qformr'\. Did you mean"
    ):
        learn([model], task, 1, objective=consistency)


def test_samples_without_candidates_are_refused_where_a_term_compares_them(model, task):
    bare = replace(task, train=(replace(task.train[0], candidates=()), *task.train[1:]))
    with pytest.raises(
        TaskError, match=r"has no candidates, which candidate contrast compares; give"
    ):
        learn([model], bare, 1, objective=Objective(CandidateContrast(weight=1.0)))


def test_a_model_that_cannot_be_learned_on_is_refused_before_the_first_step(
    model, guide, task, monkeypatch
):
    monkeypatch.setitem(vars(model.preprocess), "refusal", "Its twin differs.")
    said = r"^No prompt can be learned on tiny-minigpt4\. Its twin differs\.$"
    with pytest.raises(PreprocessingMismatch, match=said):
        learn([model], task, 1, objective=Objective())
    monkeypatch.undo()
    monkeypatch.setitem(vars(guide.preprocess), "refusal", "Its twin differs.")
    with pytest.raises(
        PreprocessingMismatch, match=r"No prompt can be learned on .*tiny-guide"
    ):
        learn([model], task, 1, guide=guide)
    # a guide that is not asked may be anything
    learn([model], task, 1, objective=Objective(), guide=guide).run()


def test_the_short_form(model, task):
    prompt = PixelPrompt(Canvas())
    optimiser = NormalisedGradient(Schedule(1.0, 2))
    steps = fit(
        prompt, model, task, objective=Objective(), optimiser=optimiser, batch_size=2
    )
    assert len(steps) == 2
    assert [step.index for step in steps] == [1, 2]
