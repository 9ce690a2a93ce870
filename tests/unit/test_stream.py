"""Streams: every class once, only its own pictures, and clear refusals."""

from dataclasses import replace

import pytest
from PIL import Image

from matboard.errors import TaskError
from matboard.tasks.stream import class_incremental, domain_incremental
from matboard.tasks.task import Sample, Skipped, Task

NAMES = tuple("abcdefg")


def samples(part, names, count=2, candidates=NAMES):
    return tuple(
        Sample(
            f"{part}-{n}-{i}",
            lambda: Image.new("RGB", (4, 4)),
            "What is this?",
            n,
            candidates,
            group=n,
        )
        for n in names
        for i in range(count)
    )


def task(name="letters", train=NAMES, test=NAMES, **more):
    return Task(name, samples("train", train, **more), samples("test", test, **more))


def test_class_incremental_cuts_every_class_once_and_takes_its_pictures_along():
    stream = class_incremental(task(), 3, seed=1)
    assert [len(t.classes) for t in stream.tasks] == [3, 2, 2]
    assert sorted(c for t in stream.tasks for c in t.classes) == list(range(7))
    for t in stream.tasks:
        assert (
            {s.answer for s in t.train}
            == {s.answer for s in t.test}
            == {NAMES[c] for c in t.classes}
        )
        assert {s.label for s in t.test} == set(t.classes)
    assert sum(len(t.train) for t in stream.tasks) == 14


def test_the_order_is_the_seed_s_and_none_is_natural():
    orders = [
        tuple(c for t in class_incremental(task(), 7, seed=s).tasks for c in t.classes)
        for s in (0, 0, 1, None)
    ]
    assert orders[0] == orders[1] != orders[2] and orders[3] == tuple(range(7))
    assert class_incremental(task(), 7, seed=0).classes == NAMES


def test_domain_incremental_keeps_labels_and_tells_samples_apart():
    stream = domain_incremental([task("day"), task("night")])
    assert [t.name for t in stream.tasks] == ["day", "night"]
    assert all(t.classes == tuple(range(7)) for t in stream.tasks)
    ids = [s.id for t in stream.tasks for s in t.train]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: class_incremental(task(), 8),
            "letters has 7 classes, which cannot be cut into 8 tasks; ask for 1 to 7",
        ),
        (
            lambda: class_incremental(task(test=NAMES[1:]), 2),
            r"1 of letters's 7 classes have no test picture \(a\)",
        ),
        (
            lambda: class_incremental(task(train=NAMES[:1]), 2),
            r"6 of letters's 7 classes have no training picture \(b, c, d, e, f …\)",
        ),
        (
            lambda: domain_incremental([task(), task("other", candidates=NAMES[::-1])]),
            "share their classes, but other and letters differ",
        ),
        (lambda: domain_incremental([]), "at least one task"),
        (
            lambda: class_incremental(
                replace(
                    task(),
                    train=(replace(task().train[0], candidates=()), *task().train[1:]),
                ),
                2,
            ),
            "letters is no classification task",
        ),
    ],
)
def test_wrong_streams_are_sentences(make, sentence):
    with pytest.raises(TaskError, match=sentence):
        make()


def test_what_reading_left_out_is_told_by_the_stream():
    left = (Skipped("a/broken.png", "cannot identify it"),)
    read = replace(task(), skipped=left, notes=("Skipped 1 of 29 files.",))
    stream = class_incremental(read, 2)
    assert stream.skipped == left and stream.notes == read.notes
    other = replace(task("again"), skipped=left)
    stream = domain_incremental([read, other])
    ids = ["letters/a/broken.png", "again/a/broken.png"]
    assert [one.id for one in stream.skipped] == ids
    assert stream.notes == ("letters: Skipped 1 of 29 files.",)
