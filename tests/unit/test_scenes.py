"""Pictures drawn from a seed, and the four tasks about them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from matboard.errors import TaskError, UnknownName
from matboard.tasks import scenes

ALL = [
    name.removeprefix("scenes-").partition("/")[::2]
    for name in (*scenes.NAMES, *scenes.STREAM_NAMES)
]


def pixels(sample):
    return np.asarray(sample.load())


@pytest.mark.parametrize(("kind", "shift"), ALL)
def test_a_task_is_a_function_of_its_seed(kind, shift):
    once, again, other = (
        scenes.build(kind, shift or None, train=3, test=3, seed=seed)
        for seed in (0, 0, 1)
    )
    for a, b, c in zip(
        once.train + once.test,
        again.train + again.test,
        other.train + other.test,
        strict=True,
    ):
        assert a.id == b.id
        assert a.question == b.question
        assert a.answer == b.answer
        assert a.caption == b.caption
        assert np.array_equal(pixels(a), pixels(b)) and not np.array_equal(
            pixels(a), pixels(c)
        )


def test_a_sample_does_not_depend_on_how_many_there_are():
    few, many = (
        scenes.build("counting", train=2, test=1),
        scenes.build("counting", train=20, test=10),
    )
    assert np.array_equal(pixels(few.train[1]), pixels(many.train[1]))
    assert np.array_equal(pixels(few.test[0]), pixels(many.test[0]))


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_answers_are_balanced_and_candidates_hold_them(kind):
    task = scenes.build(kind, train=80, test=40)
    assert len(set(Counter(s.answer for s in task.train).values())) == 1
    assert {s.answer for s in task.train} == set(task.train[0].candidates)
    assert all(
        s.group == s.answer and s.candidates[s.label] == s.answer
        for s in task.train + task.test
    )


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_no_picture_is_in_two_parts_nor_in_the_zoo(kind):
    task = scenes.build(kind, train=60, test=60)
    zoo = [
        scenes.draw(scenes.compose(kind, 0, scenes.RANGES["zoo"] + i)).tobytes()
        for i in range(60)
    ]
    drawn = [s.load().tobytes() for s in task.train + task.test] + zoo
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_the_answer_is_what_the_things_say(kind):
    for index in range(40):
        scene = scenes.compose(kind, 3, index)
        if kind == "recognition":
            truth = scene.things[0].shape
        elif kind == "counting":
            truth = scenes.NUMBERS[len(scene.things) - 1]
        elif kind == "presence":
            truth = (
                "yes" if scene.subjects[0] in {t.shape for t in scene.things} else "no"
            )
        else:
            truth = "yes" if len({t.colour for t in scene.things}) == 1 else "no"
        assert scene.answer == truth


def test_things_stay_inside_and_apart():
    for kind in scenes.KINDS:
        for index in range(30):
            things = scenes.compose(kind, 0, index).things
            assert all(
                t.radius < t.x < 1 - t.radius and t.radius < t.y < 1 - t.radius
                for t in things
            )
            assert all(
                np.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius
                for a in things
                for b in things
                if a is not b
            )


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_a_shape_has_its_colour_inside_and_the_ground_outside(shape):
    index = scenes.SHAPES.index(shape)
    scene = scenes.compose("recognition", 0, index)
    picture, inside = (
        np.asarray(scenes.draw(scene), dtype=float),
        np.asarray(scenes.silhouette(scene)),
    )
    (thing,) = scene.things
    assert np.abs(picture[inside == 255] - scenes.COLOURS[thing.colour]).max() <= 21
    assert np.ptp(picture[inside == 0], axis=0).max() == 0
    assert (
        0.15 * np.pi * thing.radius**2
        < (inside / 255).mean()
        < np.pi * (1.1 * thing.radius) ** 2
    )


@pytest.mark.parametrize("shift", scenes.SHIFTS)
def test_a_shift_redraws_the_same_scene(shift):
    plain, shifted = (
        scenes.build("presence", train=4, test=1),
        scenes.build("presence", shift, train=4, test=1),
    )
    for a, b in zip(plain.train, shifted.train, strict=True):
        assert (a.question, a.answer, a.caption) == (
            b.question,
            b.answer,
            b.caption,
        ) and a.id != b.id
        assert np.abs(pixels(a).astype(float) - pixels(b)).mean() > 3


def test_what_is_asked_and_shown():
    recognition, presence, reasoning = (
        scenes.build(kind, train=1, test=1).train[0]
        for kind in ("recognition", "presence", "reasoning")
    )
    assert (
        recognition.question == "What is the shape?"
        and recognition.caption == "this is a photo of a cyan circle"
    )
    assert presence.question == "Is there a star?" and presence.candidates == (
        "no",
        "yes",
    )
    assert (
        reasoning.question == "Do the two shapes have the same colour?"
        and reasoning.answer == "no"
    )
    assert (
        scenes.build("counting", train=2, test=1, size=96).train[1].caption
        == "this is a photo of two shapes"
    )
    assert scenes.build("counting", train=2, test=1, size=96).train[1].load().size == (
        96,
        96,
    )
    assert [scenes.build(kind, train=1, test=1).metric for kind in scenes.KINDS] == [
        "accuracy",
        "accuracy",
        "f1",
        "auc",
    ]


def test_errors_say_what_to_do():
    with pytest.raises(
        UnknownName, match=r"Unknown kind of scenes 'count'. Did you mean 'counting'\?"
    ):
        scenes.build("count")
    with pytest.raises(
        UnknownName,
        match=r"Unknown shift of scenes 'texture'. Did you mean 'textures'\?",
    ):
        scenes.build("counting", "texture")
    with pytest.raises(
        TaskError,
        match=(
            r"Task 'scenes-counting' was asked for 1000001 training and 512 test pictures; each"
            r" part holds 1 to 1000000"
        ),
    ):
        scenes.build("counting", train=1_000_001)


def test_scenes_need_no_torch():
    code = "import sys, matboard.tasks.scenes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
