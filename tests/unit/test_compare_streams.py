"""Streams side by side: the same classes in the same order are paired."""

from __future__ import annotations

from pathlib import Path

import pytest

from matboard.errors import RunError
from matboard.metrics import stream_difference
from matboard.results import read
from matboard.studies.compare.comparing import compare
from matboard.studies.compare.streams import StreamRun
from matboard.studies.config import ContinualConfig
from matboard.studies.reading import parse
from matboard.studies.streams import continual
from tests.unit.recorded_runs import TRANSFER

STREAM = {
    "task": {"name": "scenes-things", "train": 96, "test": 96},
    "stream": {"tasks": 3},
    "backbone": {"model": "tiny-vit"},
    "seeds": [0, 1],
}


def run(folder: Path, **more) -> Path:
    config = parse(ContinualConfig, {**STREAM, **more}, "")
    for _ in continual(config, folder):
        pass
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streams") / "one"
    return run(folder, learners={"ridge": {}, "class-means": {}})


def hits(folder: Path, learner: str):
    found = read(folder)
    return [fit.hits() for fit in StreamRun("", folder, found).fits[learner]]


def test_learners_of_one_name_are_paired_by_sample_and_order(one, tmp_path):
    two = run(tmp_path / "two", learners={"ridge": {"learner": "class-means"}})
    found = compare([one, two])
    assert [(row.metric, row.reference.condition) for row in found.rows] == [
        ("accuracy", "ridge"),
        ("forgetting", "ridge"),
    ]
    for row in found.rows:
        (other,) = row.others
        assert (other.samples, other.seeds, other.why) == (96, 2, "")
        expected = stream_difference(
            row.metric, hits(one, "ridge"), hits(one, "class-means")
        )
        told = other.difference
        assert (told.value, told.low) == (expected.value, expected.low)
        value = other.side.value.value - row.reference.value.value
        assert told.value == pytest.approx(value)


def test_other_orders_and_other_kinds_are_not_paired(one, tmp_path):
    two = run(tmp_path / "two", learners={"ridge": {}}, seeds=[5])
    for row in compare([one, two]).rows:
        (other,) = row.others
        assert (other.samples, other.why) == (
            None,
            "no seed met the same tasks in both",
        )
        assert other.difference.low < other.difference.value < other.difference.high
    with pytest.raises(RunError, match="is a study of prompts and one one of a stream"):
        compare([one, TRANSFER])
