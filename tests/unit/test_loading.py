"""How a study's settings become its tasks."""

import pytest
from PIL import Image

from matboard.errors import TaskError
from matboard.studies.config import TaskConfig
from matboard.studies.loading import load

NAME = "scenes-recognition/noise"


def test_skipped_test_samples_are_those_that_an_earlier_study_drew(tmp_path):
    task = folder_task(tmp_path)
    earlier = load(TaskConfig(name=task, test=6))
    later = load(TaskConfig(name=task, test=4, skip=6))
    both = load(TaskConfig(name=task, test=10))
    drawn = {sample.id for sample in earlier.test} | {s.id for s in later.test}
    assert len(later.test) == 4
    assert drawn == {sample.id for sample in both.test}
    assert later.train_fingerprint == earlier.train_fingerprint


def test_without_a_limit_all_other_test_samples_are_left(tmp_path):
    task = folder_task(tmp_path)
    earlier = load(TaskConfig(name=task, test=6))
    left = load(TaskConfig(name=task, skip=6))
    whole = load(TaskConfig(name=task))
    seen = {sample.id for sample in earlier.test}
    assert [s.id for s in left.test] == [s.id for s in whole.test if s.id not in seen]


def test_held_out_training_samples_do_not_depend_on_skip():
    plain = load(TaskConfig(name=NAME, train=20, held_out=0.5))
    skipping = load(TaskConfig(name=NAME, train=20, held_out=0.5, skip=5))
    assert plain.test_fingerprint == skipping.test_fingerprint


def test_skipping_all_is_refused(tmp_path):
    with pytest.raises(
        TaskError, match="has 12 test samples, of which skip passes over all"
    ):
        load(TaskConfig(name=folder_task(tmp_path), skip=12))


def folder_task(root):

    for part, count in (("train", 3), ("test", 4)):
        for place, name in enumerate(("red", "green", "blue")):
            folder = root / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                colour = (60 * place, 20 * number, len(part))
                Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    return str(root / "set")
