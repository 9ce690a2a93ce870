"""Tasks: what is refused, how they are drawn from, and how they are found by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from matboard.errors import ConfigError, TaskError, UnknownName
from matboard.tasks import (
    TASKS,
    Request,
    Sample,
    Task,
    balanced_indices,
    content,
    load_task,
    scenes,
)


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8))


def sample(id: str, answer: str = "cat", **changed: object) -> Sample:
    fields = {
        "question": "This is a photo of a",
        "candidates": ("cat", "dog"),
        "group": answer,
        **changed,
    }
    return Sample(id, picture, answer=answer, **fields)


def task(train: int = 12, test: int = 4) -> Task:
    parts = {
        part: tuple(sample(f"{part}/{i}", "cat" if i % 3 else "dog") for i in range(n))
        for part, n in (("train", train), ("test", test))
    }
    return Task("pets", **parts)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"id": " "}, "has no id; give every sample its own"),
        (
            {"question": ""},
            "Sample 'a' has an empty question; write one, or leave it out to ask the default",
        ),
        ({"answer": ""}, "has an empty answer; write one, or remove the sample"),
        (
            {"candidates": ("cat",)},
            "has one candidate, 'cat'; ranking needs at least two",
        ),
        (
            {"candidates": ("cat", "")},
            "has an empty candidate at position 2; remove it",
        ),
        (
            {"candidates": ("cat", "dog", "cat")},
            "has the candidate 'cat' more than once; candidates must differ",
        ),
        (
            {"candidates": ("cow", "dog")},
            "has the answer 'cat', which is not among its candidates: 'cow', 'dog'",
        ),
        ({"candidates": tuple(map(str, range(30)))}, r"'8', '9' … \(30 in all\)"),
    ],
)
def test_a_wrong_sample_is_refused(changed: dict, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        sample(**{"id": "a", **changed})


def test_labels_and_open_answers() -> None:
    assert [sample("a", "cat").label, sample("b", "dog").label] == [0, 1]
    with pytest.raises(
        TaskError, match="Sample 'c' has an open answer and so no label"
    ):
        _ = sample("c", candidates=()).label


def test_a_wrong_task_is_refused() -> None:
    with pytest.raises(
        TaskError, match="Task 'pets' has no test samples; it needs at least one"
    ):
        task(test=0)
    with pytest.raises(
        TaskError, match="2 samples of the id 'train/1'; results are stored by id"
    ):
        replace(task(), test=(sample("train/1"),))
    three = sample("odd", candidates=("cat", "dog", "cow"))
    with pytest.raises(
        TaskError,
        match=(
            r"Metric 'auc' needs the same 2 candidates.*sample 'odd' has \['cat', 'dog', 'cow'\]"
        ),
    ):
        replace(task(), train=(three,), metric="auc")


def test_validation_comes_from_train_only_and_is_balanced() -> None:
    whole = task(train=30)
    less, held = whole.validation_split(0.4, seed=1)
    assert less.test == whole.test
    assert held.train == less.train
    kept = {sample.id for sample in less.train}
    out = {sample.id for sample in held.test}
    assert kept | out == {sample.id for sample in whole.train}
    assert not kept & out
    assert Counter(s.answer for s in held.test) == {"cat": 6, "dog": 6}
    assert (
        whole.validation_split(0.4, seed=1)[1]
        == held
        != whole.validation_split(0.4, seed=2)[1]
    )
    with pytest.raises(
        TaskError, match="has 1 training samples: holding out 1 leaves none"
    ):
        task(train=1).validation_split(0.5, seed=0)


def test_limits_draw_without_replacement_in_the_original_order() -> None:
    whole = task(train=30, test=9)
    some = whole.limited(train=10, test=100)
    assert some.test == whole.test
    assert [s for s in whole.train if s in some.train] == list(some.train)
    assert Counter(s.answer for s in some.train) == {"cat": 5, "dog": 5}
    with pytest.raises(
        TaskError,
        match="The train part of task 'pets' was limited to -1 samples; ask for at least 1",
    ):
        whole.limited(train=-1)


def test_balanced_indices_take_turns() -> None:
    groups = ["a"] * 50 + ["b"] * 3 + ["c"] * 20
    chosen = balanced_indices(groups, 30, seed=0)
    assert len(set(chosen)) == 30
    assert Counter(groups[i] for i in chosen) in (
        {"a": 14, "b": 3, "c": 13},
        {"a": 13, "b": 3, "c": 14},
    )
    assert sorted(balanced_indices(groups, 1000, seed=0)) == list(range(73))
    firsts = {groups[balanced_indices(groups, 1, seed)[0]] for seed in range(20)}
    assert firsts == {"a", "b", "c"}, (
        "what is left over must not always go to the same group"
    )


def test_the_fingerprint_knows_what_was_asked() -> None:
    one = task()
    assert one.fingerprint == task().fingerprint
    assert len(one.fingerprint) == 64
    swapped = replace(one, train=one.test, test=one.train)
    reworded = replace(
        one, test=(replace(one.test[0], question="What is it?"), *one.test[1:])
    )
    first, *others = one.test
    turned = replace(first, candidates=("dog", "cat"))
    reordered = replace(one, test=(turned, *others))
    assert len({t.fingerprint for t in (one, swapped, reworded, reordered)}) == 4


def filed(folder: Path, content: bytes = b"a picture") -> Task:
    """A task all of whose samples show one file."""
    folder.mkdir(exist_ok=True)
    (folder / "picture").write_bytes(content)
    whole = task()
    parts = [
        tuple(replace(s, file=folder / "picture") for s in p)
        for p in (whole.train, whole.test)
    ]
    return replace(whole, train=parts[0], test=parts[1])


def test_the_fingerprint_knows_what_the_pictures_are_not_where_they_lie(
    tmp_path,
) -> None:
    first = filed(tmp_path / "a").fingerprint
    assert filed(tmp_path / "b").fingerprint == first
    assert filed(tmp_path / "a", b"another one").fingerprint != first
    assert filed(tmp_path / "a", b"a pictur3").fingerprint != first, "of the same size"
    gone = filed(tmp_path / "a")
    (tmp_path / "a/picture").unlink()
    assert gone.fingerprint not in (first, task().fingerprint)


def test_each_part_has_a_fingerprint_of_its_own() -> None:
    one = task()
    fewer = replace(one, train=one.train[:-1])
    assert fewer.test_fingerprint == one.test_fingerprint
    assert fewer.train_fingerprint != one.train_fingerprint
    assert fewer.fingerprint != one.fingerprint
    accepting = replace(one.test[0], accepted=("dog",))
    assert (
        replace(one, test=(accepting, *one.test[1:])).test_fingerprint
        != one.test_fingerprint
    )


def test_of_a_large_file_blocks_are_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(content, "WHOLE", 100)
    monkeypatch.setattr(content, "BLOCK", 10)
    monkeypatch.setattr(content, "BLOCKS", 3)
    file = tmp_path / "large"
    data = bytearray(range(200))
    file.write_bytes(data)
    first = content.digest(file)
    seen = []
    for place in range(200):
        file.write_bytes(data[:place] + b"!" + data[place + 1 :])
        if content.digest(file) != first:
            seen.append(place)
    assert seen == [*range(10), *range(95, 105), *range(190, 200)]
    file.write_bytes(data + b"!")
    assert content.digest(file) != first


def test_a_metric_is_a_registered_name() -> None:
    with pytest.raises(
        UnknownName, match=r"Unknown metric 'acuracy'\. Did you mean 'accuracy'"
    ):
        replace(task(), metric="acuracy")


def test_answers_that_are_accepted_count_among_the_candidates() -> None:
    got = sample("a", "dog", accepted=("cat", "puppy"))
    assert got.right == ("dog", "cat", "puppy")
    assert got.labels == (1, 0)
    with pytest.raises(
        TaskError, match="needs one right answer a sample, but sample 'a' of task"
    ):
        replace(task(), train=(got,), metric="auc")
    with pytest.raises(TaskError, match="has an empty one among its accepted answers"):
        sample("a", accepted=("",))


def test_text_that_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(
        TaskError, match=r"has characters that are no text .*: '\\ud800'"
    ):
        sample("a", caption=chr(0xD800))


class Answers:
    """Stands in for what a package registers."""

    asked: Request | None = None
    given: object = None

    def __call__(self, request: Request) -> object:
        self.asked = request
        return self.given


@pytest.fixture
def answers(monkeypatch) -> Answers:
    found = Answers()
    monkeypatch.setattr(TASKS, "load", lambda name: found)
    return found


def test_a_builder_is_told_what_is_wanted_and_may_give_more(
    answers, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("MATBOARD_DATA", str(tmp_path))
    answers.given = task(train=30, test=9)
    got = load_task("cifar10", train=10, test=3, seed=5)
    assert answers.asked == Request("cifar10", 10, 3, 5, tmp_path)
    assert len(got.train) == 10
    assert len(got.test) == 3
    load_task("cifar10", data_dir=tmp_path / "mine")
    assert answers.asked.data_dir == tmp_path / "mine"


def test_a_builder_that_gives_no_task_is_named(answers) -> None:
    with pytest.raises(
        ConfigError, match="'cifar10' of the package matboard was built as a None"
    ):
        load_task("cifar10")


@pytest.mark.parametrize("source", ["", " ", "a\0b", "x" * 5000])
def test_a_source_that_names_nothing_is_an_unknown_name(source) -> None:
    with pytest.raises(UnknownName, match="Unknown task "):
        load_task(source)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"train": 0},
            "The train part of task 'cifar10' was limited to 0 samples; ask for at",
        ),
        (
            {"test": -1},
            "The test part of task 'cifar10' was limited to -1 samples; ask for at",
        ),
        ({"seed": -1}, "The seed of task 'cifar10' is -1; give 0 or more"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_read(
    answers, options, sentence
) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_task("cifar10", **options)
    assert answers.asked is None


def test_scenes_are_loaded_by_name_with_the_sizes_asked_for() -> None:
    got = load_task("scenes-presence/clutter", train=6, test=4, seed=3)
    assert got.name == "scenes-presence/clutter"
    assert len(got.train) == 6
    assert len(got.test) == 4
    assert got.metric == "f1"
    assert got.test[0].load().mode == "RGB"
    assert (
        got.fingerprint
        == load_task("scenes-presence/clutter", train=6, test=4, seed=3).fingerprint
    )
    assert (
        got.fingerprint
        != load_task("scenes-presence/clutter", train=6, test=4, seed=4).fingerprint
    )


def test_names_are_listed_and_wrong_ones_get_help(tmp_path) -> None:
    assert {"cifar10", "pope/random", *scenes.NAMES, *scenes.STREAM_NAMES} < set(TASKS)
    with pytest.raises(
        UnknownName, match=r"Unknown task 'cifar11'\. Did you mean 'cifar10'"
    ):
        load_task("cifar11")
    with pytest.raises(UnknownName, match="Did you mean 'scenes-recognition/textures'"):
        load_task("scenes-recognition/texture")
    with pytest.raises(
        TaskError,
        match=r"There is no folder or file .*nowhere, and no task of that name",
    ):
        load_task(tmp_path / "nowhere")
