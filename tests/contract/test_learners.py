"""What every continual learner promises, whatever it is inside."""

from dataclasses import replace

import pytest
import torch
import transformers as hf

from matboard.continual.build import LEARNERS, build_learner, options_of
from matboard.continual.eye import FrozenEye
from matboard.continual.protocol import Row, run_stream
from matboard.errors import ConfigError, UnknownName
from matboard.models.backbone import TransformerBackbone
from matboard.tasks import load_task
from matboard.tasks.stream import class_incremental

STREAM = class_incremental(load_task("scenes-recognition", train=48, test=24), 3, seed=0)
OPTIONS = {
    "l2p-batchwise": ("l2p", {"preset": "l2p-pytorch"}),
    "l2p-soft": ("l2p", {"weighting": "soft"}),
    "l2p-deep": ("l2p", {"layer": 1, "read": "cls"}),
    "image-prompt-reshape": ("image-prompt", {"route": "reshape", "start": "matched"}),
    "residual-drifting": (
        "residual-generator",
        {"adapt": None, "head": "linear", "weighting": "soft", "generator": 1.0},
    ),
    "l2p-untrained": ("l2p", {"adapt": 0, "head": "ridge-both"}),
    "l2p-settled": ("l2p", {"adapt": 1}),
    "generator-pool-image": ("generator-pool-lwf", {"vae": "image"}),
    "generator-distilled": ("generator-pool-lwf", {"logits": 0.0, "generator": 1.0}),
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
    return eye.batch([s for t in STREAM.tasks for s in t.test], learner.layer)


def test_only_the_learner_changes(eye, variant):
    before = {name: value.clone() for name, value in eye.backbone.tower.state_dict().items()}
    taught(build(eye, variant))
    assert all(
        torch.equal(before[name], value) for name, value in eye.backbone.tower.state_dict().items()
    )
    assert all(p.grad is None and not p.requires_grad for p in eye.backbone.tower.parameters())


def test_untaught_classes_have_no_chance(eye, variant):
    learner = taught(build(eye, variant))
    known = [c for t in STREAM.tasks[:2] for c in t.classes]
    logits = learner.logits(everything(eye, learner))
    assert logits[:, known].isfinite().all()
    assert (logits[:, [c for c in range(8) if c not in known]] == -torch.inf).all()


def test_a_sample_s_logits_are_its_own(eye, variant):
    learner = taught(build(eye, variant))
    batch = everything(eye, learner)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    whole = learner.logits(batch)[:, learner.seen]
    parts = [
        learner.logits(
            replace(
                batch,
                images=batch.images[i],
                query=batch.query[i],
                tokens=None if batch.tokens is None else batch.tokens[i],
            )
        )
        for i in order.split(5)
    ]
    same = torch.allclose(torch.cat(parts)[:, learner.seen], whole[order], atol=1e-4)
    assert same or learner.flags == (
        "prompts are chosen by the majority of a batch, at test too, which gives the task away",
    )


def test_state_goes_round_and_learning_goes_on_as_if_nothing_had_happened(eye, variant):
    learner = taught(build(eye, variant), 1)
    copy = build(eye, variant)
    copy.load_state(learner.state())
    for each in (learner, copy):
        for _ in each.learn(STREAM.tasks[1]):
            pass
    one, other = learner.state(), copy.state()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_test_pictures_are_not_looked_at_in_learning(eye, variant):
    def refuse():
        raise AssertionError("a test picture was opened")

    blind = [
        replace(t, test=tuple(replace(s, id=f"blind-{s.id}", load=refuse) for s in t.test))
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
    assert not taught_more and all(
        torch.equal(first[name], value) for name, value in learner.source.state_dict().items()
    )
    assert not torch.equal(
        learner.scores(everything(eye, learner)), before
    )  # the calibrated head has taken the new classes in


def test_a_step_whose_gradient_is_not_finite_changes_nothing_and_says_so(eye, monkeypatch):
    learner, other = (build(eye, "l2p") for _ in range(2))
    real, calls = learner.source.forward, []

    def broken(query, images):
        made = real(query, images)
        calls.append(1)
        return replace(
            made, losses={"pull": made.losses["pull"] * (torch.nan if len(calls) == 1 else 1)}
        )

    monkeypatch.setattr(learner.source, "forward", broken)
    first = next(learner.learn(STREAM.tasks[0]))
    assert first.skipped and all(
        torch.equal(a, b) for a, b in zip(learner.source.parameters(), other.source.parameters())
    )
    assert all(t.isfinite().all() for t in taught(learner).state().values())


def test_rows_fill_the_lower_triangle(eye):
    rows = [
        event for event in run_stream(build(eye, "class-means"), STREAM) if isinstance(event, Row)
    ]
    assert [int((~torch.tensor(r.accuracies).isnan()).sum()) for r in rows] == [1, 2, 3]
    assert [len(r.predictions) for r in rows] == [
        sum(len(t.test) for t in STREAM.tasks[: i + 1]) for i in range(3)
    ]


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
        ("l2p", {"top_k": 11}, ConfigError, "top_k is 11, but the pool holds 10 prompts"),
        (
            "l2p",
            {"lr": "fast"},
            ConfigError,
            "Option 'lr' of learner 'l2p': Input should be a valid number.*came: 'fast'",
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
            {"vae": "image", "side": 8, "generator": 1.0},
            ConfigError,
            "this learner has no generator that works from queries",
        ),
        ("ridge", {"epochs": 3}, UnknownName, "Unknown option of learner 'ridge' 'epochs'"),
    ],
)
def test_wrong_options_are_sentences(eye, name, options, error, sentence):
    with pytest.raises(error, match=sentence):
        build_learner(name, eye, 8, **options)


def test_presets_are_what_they_say(eye):
    jax = build_learner("l2p", eye, 8, preset="l2p-jax")
    pool, training = jax.source, jax.training
    assert (len(pool.prompts), pool.prompts.shape[1], pool.selector.top_k, jax.weights["pull"]) == (
        10,
        10,
        4,
        1.0,
    )
    assert (training.lr, training.batch_size, training.clean_query, pool.selector.selection) == (
        0.015,
        128,
        False,
        "batchwise",
    )
    assert (
        jax.head.weight.abs().max() == 0 and pool.prompts.min() >= 0 and pool.prompts.max() < 0.01
    )
    torch_ = build_learner("l2p", eye, 8, preset="l2p-pytorch", lr=0.5)
    assert (torch_.training.lr, torch_.training.batch_size, torch_.weights["pull"]) == (
        0.5,
        16,
        0.1,
    )
    assert build_learner("l2p", eye, 8).source.selector.selection == "per_sample"
