"""What every continual learner promises, whatever it is inside."""

from dataclasses import replace
from typing import Annotated, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
import transformers as hf

from matboard.continual.build import (
    LEARNERS,
    build_learner,
    options_of,
    training_options,
)
from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.l2p import VOTE
from matboard.continual.protocol import Stage, run_stream
from matboard.errors import ConfigError, UnknownName
from matboard.models.backbone import TransformerBackbone
from matboard.registry import check_options
from matboard.tasks import load_task
from matboard.tasks.stream import class_incremental

STREAM = class_incremental(
    load_task("scenes-recognition", train=48, test=24), 3, seed=0
)
OPTIONS = {
    "l2p-batchwise": ("l2p", {"preset": "l2p-pytorch"}),
    "l2p-soft": ("l2p", {"weighting": "soft"}),
    "l2p-deep": ("l2p", {"layer": 1, "read": "cls"}),
    "image-prompt-reshape": ("image-prompt", {"route": "reshape", "start": "matched"}),
    "residual-drifting": (
        "residual-generator",
        {
            "adapt": None,
            "head": "linear",
            "weighting": "soft",
            "generator_distillation": 1.0,
        },
    ),
    "l2p-untrained": ("l2p", {"adapt": 0, "head": "ridge-both"}),
    "l2p-settled": ("l2p", {"adapt": 1}),
    "generator-pool-image": ("generator-pool-lwf", {"vae": "image"}),
    "generator-distilled": (
        "generator-pool-lwf",
        {"distillation": 0.0, "generator_distillation": 1.0},
    ),
}
VARIANTS = {**{name: (name, {}) for name in LEARNERS}, **OPTIONS}


@pytest.fixture(scope="module")
def eye():
    torch.manual_seed(0)
    config = hf.ViTConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    return FrozenEye(TransformerBackbone(hf.ViTModel(config), "vit"))


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


def build(eye, variant, **more):
    name, options = VARIANTS[variant]
    if "epochs" in options_of(name):
        more = {"epochs": 1, "batch_size": 8, "lr": 0.01, **more}
    small = {"side": 8, "projection": 32}
    more |= {key: value for key, value in small.items() if key in options_of(name)}
    return build_learner(name, eye, 8, **{**options, **more})


def taught(learner, tasks=2):
    for task in STREAM.tasks[:tasks]:
        for _ in learner.learn(task):
            pass
    return learner


def everything(eye, learner):
    return eye.inputs([s for t in STREAM.tasks for s in t.test], learner.layer)


def test_only_the_learner_changes(eye, variant):
    before = {
        name: value.clone() for name, value in eye.backbone.tower.state_dict().items()
    }
    taught(build(eye, variant))
    after = eye.backbone.tower.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert all(
        p.grad is None and not p.requires_grad for p in eye.backbone.tower.parameters()
    )


def test_untaught_classes_have_no_chance(eye, variant):
    learner = taught(build(eye, variant))
    known = [c for t in STREAM.tasks[:2] for c in t.classes]
    logits = learner.logits(everything(eye, learner))
    assert logits[:, known].isfinite().all()
    assert (logits[:, [c for c in range(8) if c not in known]] == -torch.inf).all()


def test_a_sample_s_logits_are_its_own(eye, variant):
    learner = taught(build(eye, variant))
    inputs = everything(eye, learner)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    whole = learner.logits(inputs)[:, learner.seen]
    parts = []
    for i in order.split(5):
        tokens = None if inputs.tokens is None else inputs.tokens[i]
        parts.append(learner.logits(Inputs(inputs.images[i], inputs.query[i], tokens)))
    same = torch.allclose(torch.cat(parts)[:, learner.seen], whole[order], atol=1e-4)
    assert same or learner.flags == (VOTE,)


def test_state_goes_round_and_learning_goes_on_as_if_nothing_had_happened(eye, variant):
    learner = taught(build(eye, variant), 1)
    copy = build(eye, variant)
    copy.load_state(learner.state())
    for each in (learner, copy):
        for _ in each.learn(STREAM.tasks[1]):
            pass
    one = learner.state()
    other = copy.state()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_test_pictures_are_not_looked_at_in_learning(eye, variant):
    def refuse():
        raise AssertionError("a test picture was opened")

    blind = [
        replace(
            t, test=tuple(replace(s, id=f"blind-{s.id}", load=refuse) for s in t.test)
        )
        for t in STREAM.tasks
    ]
    learner = build(eye, variant)
    for task in blind[:2]:
        for _ in learner.learn(task):
            pass


def test_seeds_differ_and_one_seed_repeats(eye, variant):
    a, b, c = (
        taught(build(eye, variant, seed=s)).logits(everything(eye, build(eye, variant)))
        for s in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert variant in ("class-means", "ridge", "fine-tune") or not torch.equal(a, c)


def test_settled_prompts_stay_as_the_first_task_left_them(eye):
    learner = taught(build(eye, "residual-generator"), 1)
    first = {name: value.clone() for name, value in learner.source.state_dict().items()}
    before = learner.scores(everything(eye, learner))
    taught_more = list(learner.learn(STREAM.tasks[1]))
    second = learner.source.state_dict()
    assert not taught_more
    assert all(torch.equal(first[name], value) for name, value in second.items())
    after = learner.scores(everything(eye, learner))
    assert not torch.equal(after, before), (
        "the calibrated head has taken the new classes in"
    )


def test_a_step_whose_gradient_is_not_finite_changes_nothing_and_says_so(
    eye, monkeypatch
):
    learner = build(eye, "l2p")
    other = build(eye, "l2p")
    real = learner.source.forward
    calls = []

    def broken(query, images):
        made = real(query, images)
        calls.append(1)
        factor = torch.nan if len(calls) == 1 else 1
        return replace(made, losses={"pull": made.losses["pull"] * factor})

    monkeypatch.setattr(learner.source, "forward", broken)
    first = next(learner.learn(STREAM.tasks[0]))
    pairs = zip(learner.source.parameters(), other.source.parameters())
    assert first.skipped and all(torch.equal(a, b) for a, b in pairs)
    assert all(t.isfinite().all() for t in taught(learner).state().values())


def test_stages_fill_the_lower_triangle(eye):
    events = run_stream(build(eye, "class-means"), STREAM)
    stages = [event for event in events if isinstance(event, Stage)]
    assert [int((~np.isnan(stage.accuracies)).sum()) for stage in stages] == [1, 2, 3]
    tested = np.cumsum([len(task.test) for task in STREAM.tasks])
    assert [len(stage.predictions) for stage in stages] == tested.tolist()


@pytest.mark.parametrize(
    ("name", "options", "error", "sentence"),
    [
        ("l2pp", {}, UnknownName, "Unknown learner 'l2pp'. Did you mean 'l2p'?"),
        (
            "l2p",
            {"topk": 3},
            UnknownName,
            "Unknown option of learner 'l2p' 'topk'. Did you mean 'top_k'?",
        ),
        (
            "l2p",
            {"preset": "l2p-jaxx"},
            UnknownName,
            "Unknown preset of l2p 'l2p-jaxx'. Did you mean 'l2p-jax'?",
        ),
        (
            "l2p",
            {"top_k": 11},
            ConfigError,
            "top_k is 11, but the pool holds 10 prompts",
        ),
        (
            "l2p",
            {"lr": "fast"},
            ConfigError,
            "Option 'lr' of learner 'l2p': expected a number, came 'fast'",
        ),
        (
            "l2p",
            {"layer": 2},
            ConfigError,
            "Prompts were to enter block 2, but vit has blocks 0 to 1",
        ),
        (
            "image-prompt",
            {"side": 10},
            ConfigError,
            "A prompt picture of side 10 came; expected a multiple of vit's patch, 4",
        ),
        (
            "generator-pool",
            {"vae": "image", "side": 8, "generator_distillation": 1.0},
            ConfigError,
            "this learner has no generator that works from queries",
        ),
        (
            "ridge",
            {"epochs": 3},
            UnknownName,
            "Unknown option of learner 'ridge' 'epochs'",
        ),
        (
            "l2p",
            {"bounds": (1, 0)},
            ConfigError,
            "bounds are 1 and 0; expected the lower one first",
        ),
    ],
)
def test_wrong_options_are_sentences(eye, name, options, error, sentence):
    with pytest.raises(error, match=sentence):
        build_learner(name, eye, 8, **options)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("epochs", 0, "at least 1"),
        ("epochs", -1, "at least 1"),
        ("epochs", 2**63, "at most 1000000"),
        ("batch_size", -16, "at least 1"),
        ("lr", 0, "more than 0"),
        ("lr", -0.1, "more than 0"),
        ("lr", float("inf"), "a finite number"),
        ("clip", 0.0, "more than 0"),
        ("layer", -1, "at least 0"),
        ("adapt", -1, "at least 0"),
        ("size", 0, "at least 1"),
        ("length", 0, "at least 1"),
        ("pull", -0.1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("seed", 2**63, "at most 2147483647"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_built(
    eye, option, value, expected
):
    sentence = f"Option '{option}' of learner 'l2p': expected {expected}, came "
    with pytest.raises(ConfigError, match=sentence):
        build_learner("l2p", eye, 8, **{option: value})


@pytest.mark.parametrize("name", LEARNERS)
def test_every_number_among_the_options_has_a_range(name):
    for option, kind in options_of(name).items():
        no_number = kind is bool or get_origin(kind) is Literal
        ranged = any(get_origin(part) is Annotated for part in (kind, *get_args(kind)))
        assert no_number or ranged or option == "bounds", option


def test_what_can_be_laid_under_all_learners_is_what_training_is():
    assert set(training_options()) < set(options_of("l2p"))
    assert "epochs" in training_options() and "seed" not in training_options()
    asked = check_options({"epochs": 3, "lr": "0.1"}, training_options(), "training")
    assert asked == {"epochs": 3, "lr": 0.1}
    with pytest.raises(UnknownName, match="Unknown option of training 'epoch'"):
        check_options({"epoch": 3}, training_options(), "training")


def test_presets_are_what_they_say(eye):
    jax = build_learner("l2p", eye, 8, preset="l2p-jax")
    assert jax.source.prompts.shape[:2] == (10, 10)
    assert jax.source.selector.top_k == 4
    assert jax.source.selector.selection == "batchwise"
    assert jax.weights["pull"] == 1.0
    assert (jax.training.lr, jax.training.batch_size) == (0.015, 128)
    assert not jax.training.clean_query
    assert jax.head.weight.abs().max() == 0
    assert jax.source.prompts.min() >= 0 and jax.source.prompts.max() < 0.01
    pytorch = build_learner("l2p", eye, 8, preset="l2p-pytorch", lr=0.5)
    assert (pytorch.training.lr, pytorch.training.batch_size) == (0.5, 16)
    assert pytorch.weights["pull"] == 0.1
    assert build_learner("l2p", eye, 8).source.selector.selection == "per_sample"
