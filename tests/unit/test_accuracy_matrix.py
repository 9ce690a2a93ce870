"""The accuracy matrix against numbers that others printed, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from matboard.errors import InputError, UnknownName
from matboard.metrics import BACKWARD_TRANSFERS, FORGETTINGS, AccuracyMatrix

SD_LORA = """97.3
95.1 97.6
91.7 97.5 97.8
87.4 96.4 97.5 94.1
86.2 94.4 95.7 93.6 92.6
84.6 93.7 95.4 93.0 87.7 94.3
84.6 92.7 91.7 91.5 86.7 93.5 89.1
82.2 92.6 91.0 90.2 86.3 92.9 87.1 87.3
79.9 91.0 90.2 88.9 85.4 93.4 86.5 85.1 86.7
79.2 90.8 89.7 87.7 84.5 92.8 84.0 84.7 85.7 93.5"""
"""CIFAR-100 in ten tasks, printed (transposed) in SD-Lora-CL's logs/C100.log."""


def printed(log: str) -> np.ndarray:
    rows = [np.array(line.split(), dtype=float) / 100 for line in log.splitlines()]
    values = np.full((len(rows), len(rows)), np.nan)
    for row, line in zip(values, rows):
        row[: len(line)] = line
    return values


@pytest.fixture
def golden() -> AccuracyMatrix:
    return AccuracyMatrix(printed(SD_LORA))


def test_the_printed_run_in_every_definition(golden: AccuracyMatrix) -> None:
    """The log prints 87.26, 92.051 and 6.4111; the others are what each code makes of the same
    matrix (continuum's by running it).
    """
    assert golden.average_accuracy() == pytest.approx(0.8726)
    assert golden.average_incremental_accuracy() == pytest.approx(0.92051, abs=5e-5)
    assert golden.forgetting() == pytest.approx(0.064111111)
    forgettings = {
        "chaudhry": 6.411,
        "l2p": 6.411,
        "avalanche": 6.411,
        "coda": 1.477,
        "continuum-1.2.7": 6.300,
        "libcontinual": 6.300,
    }
    assert {
        name: round(100 * golden.forgetting(name), 3) for name in FORGETTINGS
    } == forgettings
    transfers = {"gem": -6.411, "diaz-rodriguez": -5.38, "continuum-1.2.7": -5.069}
    found = {
        name: round(100 * golden.backward_transfer(name), 3)
        for name in BACKWARD_TRANSFERS
    }
    assert found == transfers


SD_LORA_A = """82.29
78.86 77.84
75.43 72.97 75.86
70.86 71.89 75.00 71.17
65.71 70.27 69.83 70.27 68.53
61.71 67.03 67.24 64.41 67.83 73.88
60.00 63.24 66.38 60.36 66.43 74.63 64.38
56.00 60.00 64.66 58.56 63.64 73.13 63.01 59.06
56.57 56.76 62.93 58.11 63.64 71.64 62.33 59.84 55.10
53.71 55.68 64.66 54.50 62.94 67.16 62.33 59.84 55.10 56.45"""
"""ImageNet-A in ten tasks, from SD-Lora-CL's logs/InA.log. (There the tasks are sorted by their
names as text; here they are in the order of the stream.)
"""

IMAGES_A = (175, 185, 116, 222, 143, 134, 146, 127, 147, 124)
"""Test pictures of those tasks: the one choice that makes every printed accuracy a fraction."""


def test_pilot_counts_every_picture_the_same() -> None:
    """The log prints "Average Accuracy (CNN): 68.771", and 58.66 after the last task."""
    matrix = AccuracyMatrix(printed(SD_LORA_A))
    assert 100 * matrix.average_incremental_accuracy() == pytest.approx(
        69.09, abs=0.005
    )
    assert 100 * matrix.average_incremental_accuracy(IMAGES_A) == pytest.approx(
        68.771, abs=0.003
    )
    assert 100 * matrix.average_accuracy(IMAGES_A) == pytest.approx(58.66, abs=0.005)
    with pytest.raises(
        InputError, match=r"each of the 10 tasks, but \[175, 185\] came"
    ):
        matrix.average_accuracy(IMAGES_A[:2])


def test_continuum_leaves_out_the_last_stage_but_one() -> None:
    """continuum 1.2.7, run on this matrix, says 10.327 and −9.071; with that stage it would say
    10.413.
    """
    matrix = AccuracyMatrix(printed(SD_LORA_A))
    assert round(100 * matrix.forgetting("continuum-1.2.7"), 3) == 10.327
    assert round(100 * matrix.backward_transfer("continuum-1.2.7"), 3) == -9.071


def test_definitions_part_where_a_task_improves() -> None:
    """By hand: task 1 goes 0.5 → 0.8 → 0.6, task 2 goes 0.7 → 0.9."""
    nan = np.nan
    matrix = AccuracyMatrix(
        np.array([[0.5, nan, nan], [0.8, 0.7, nan], [0.6, 0.9, 1.0]])
    )
    by_hand = {
        "chaudhry": (0.2 - 0.2) / 2,
        "l2p": (0.2 + 0.0) / 2,
        "avalanche": (-0.1 - 0.2) / 2,
        "coda": (-0.3 + (0.2 - 0.2) / 2) / 2,
        "continuum-1.2.7": (0.5 - 0.6) / 2,
        "libcontinual": (0.5 - 0.6) / 2,
    }
    assert {name: matrix.forgetting(name) for name in FORGETTINGS} == pytest.approx(
        by_hand
    )
    transfers = {
        "gem": (0.1 + 0.2) / 2,
        "diaz-rodriguez": (0.3 + 0.1 + 0.2) / 3,
        "continuum-1.2.7": 0.1 / 3,
    }
    found = {name: matrix.backward_transfer(name) for name in BACKWARD_TRANSFERS}
    assert found == pytest.approx(transfers)
    assert matrix.learning_accuracy() == pytest.approx((0.5 + 0.7 + 1.0) / 3)
    assert matrix.average_incremental_accuracy() == pytest.approx(
        (0.5 + 0.75 + 2.5 / 3) / 3
    )


def test_forward_transfer_needs_the_upper_triangle(golden: AccuracyMatrix) -> None:
    matrix = AccuracyMatrix(np.array([[0.5, 0.3], [0.4, 0.9]]))
    assert matrix.forward_transfer([0.1, 0.2]) == pytest.approx(0.1)
    with pytest.raises(InputError, match="one stage before it is learned"):
        golden.forward_transfer([0.1] * 10)


def test_csv_round_trip(golden: AccuracyMatrix, tmp_path) -> None:
    named = AccuracyMatrix(golden.values, [f"täsk, {i}" for i in range(10)])
    named.to_csv(tmp_path / "matrix.csv")
    back = AccuracyMatrix.from_csv(tmp_path / "matrix.csv")
    np.testing.assert_array_equal(back.values, named.values)
    assert back.tasks == named.tasks
    written = (tmp_path / "matrix.csv").read_text(encoding="utf-8").splitlines()
    assert written[1].endswith("0.973" + "," * 9)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[0.5, 0.5]], r"square, stages × tasks, but this one has shape \(1, 2\)"),
        ([[50.0]], "one is 50: divide percentages by 100"),
        (
            [[0.5, np.nan], [np.nan, 0.5]],
            "an entry on or below the diagonal is missing",
        ),
    ],
)
def test_what_is_no_accuracy_matrix(values: list, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        AccuracyMatrix(np.array(values))


def test_one_task_has_no_forgetting_and_unknown_definitions_are_named(
    golden: AccuracyMatrix, tmp_path
) -> None:
    with pytest.raises(InputError, match="need at least two tasks"):
        AccuracyMatrix(np.array([[0.5]])).forgetting()
    with pytest.raises(UnknownName, match="Did you mean 'chaudhry'"):
        golden.forgetting("chaudry")
    with pytest.raises(UnknownName, match="definition of backward transfer 'gm'"):
        golden.backward_transfer("gm")
    with pytest.raises(InputError, match="2 different names, but 1 came"):
        AccuracyMatrix(np.eye(2), ["a", "a"])
    (tmp_path / "bad.csv").write_text("trained up to,a\na,high\n")
    with pytest.raises(InputError, match=r"bad.csv is not an accuracy matrix"):
        AccuracyMatrix.from_csv(tmp_path / "bad.csv")
