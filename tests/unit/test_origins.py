"""What results say of how prompts came to be, and of how pictures were spoilt."""

from __future__ import annotations

import pytest

from matboard.results.transfer import Corruption, Origin
from matboard.studies.config import StudyConfig
from matboard.studies.reading import parse
from matboard.studies.variants import fit_variants
from matboard.transfer.corrupted import corruption_of

SWEPT = {
    "sources": ["tiny-minigpt4"],
    "task": {"name": "scenes-counting"},
    "methods": {"mine": {"method": "evp"}},
    "grid": {"task.train": [16, 64], "prompt.width": [10]},
    "rule": "As in the paper where more pictures help.",
}


def test_a_variant_of_a_grid_knows_its_own_name_and_what_was_swept() -> None:
    config = parse(StudyConfig, SWEPT, "swept")
    first, second = fit_variants(config)
    assert first.base == second.base == "mine"
    assert first.swept == {"task.train": 16, "prompt.width": 10}
    assert second.settings.task.train == 64
    assert config.rule == SWEPT["rule"]


def test_swept_values_keep_their_kinds_in_a_file() -> None:
    swept = {"a": 3, "b": 0.5, "c": "x", "d": True, "e": ("p", "q"), "f": None}
    origin = Origin(variant="v", swept=swept, terms={"task_loss": 1.0})
    again = Origin.model_validate_json(origin.model_dump_json())
    assert again == origin
    assert [type(value) for value in again.swept.values()] == list(
        map(type, swept.values())
    )


def test_a_corrupted_task_is_known_by_its_name() -> None:
    found = corruption_of("scenes-recognition/noise/jpeg_compression-5")
    clean = "scenes-recognition/noise"
    assert found == Corruption(kind="jpeg_compression", severity=5, clean=clean)


@pytest.mark.parametrize(
    "name", ["cifar10", "scenes-counting/noise", "cifar10/fog-6", "a/test-1", "fog-3"]
)
def test_other_tasks_are_not(name: str) -> None:
    assert corruption_of(name) is None
