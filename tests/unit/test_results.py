"""Results: one form for writers and readers, and one sentence for any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from matboard.errors import RunError
from matboard.metrics import Estimate
from matboard.results import (
    Difference,
    Interval,
    StepRow,
    json_schemas,
    read,
    read_step,
)
from matboard.results.stream import Learner, weight_paths
from matboard.results.transfer import Cell, Condition, Model, TransferResults

ANEW = "Run the same command with another --out to make them anew."


def table(**more: Any) -> TransferResults:
    cell = {
        "model": "m",
        "task": "t",
        "condition": "full",
        "metric": "accuracy",
        "n": 3,
    }
    content: dict[str, Any] = {
        "models": ({"name": "m"},),
        "tasks": ({"name": "t", "metric": "accuracy", "n": 3},),
        "conditions": (
            {
                "name": "full",
                "label": "untouched",
                "role": "baseline",
                "baseline": "full",
            },
        ),
        "cells": (cell,),
    }
    return TransferResults.model_validate(content | more)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = table(seconds=1.5, notes=("a note",))
    (tmp_path / "results.json").write_text(json.dumps(written.as_json()))
    assert (
        read(tmp_path)
        == read(tmp_path / "results.json")
        == read(written.as_json())
        == written
    )
    assert written.as_json()["schema"] == 2


OLD = (
    " were written by matboard 0.1.0 in another form, which this version does not read. Run the"
    " same command with another --out to make them anew, or read them with matboard 0.1.0."
)
WRONG = [
    ({"kind": "continual"}, OLD),
    ({"schema": 1, "kind": "transfer"}, OLD),
    (
        {"schema": 3},
        " follow schema 3, and this matboard reads schema 2. Upgrade matboard to read them.",
    ),
    (
        {"schema": 2, "kind": "poem"},
        " are of kind 'poem'; expected one of transfer, stream, plan, fit, stream-fit, selection,"
        " choice, analysis, search, cost. " + ANEW,
    ),
    (
        {"schema": 2, "kind": "transfer", "colour": 1},
        f" do not follow schema 2 at colour: Extra inputs are not permitted. {ANEW}",
    ),
    (
        {"schema": 2, "kind": "transfer", "cells": [{"model": "m"}]},
        f" do not follow schema 2 at cells.0.task: Field required. {ANEW}",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), WRONG)
def test_any_other_form_is_refused_in_a_sentence(
    content: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RunError) as error:
        read(content)
    assert str(error.value) == "These results" + sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is missing: results appear when a run has finished."),
        ("{", "cannot be read ("),
        ("[" * 100_000, "cannot be read ("),
        ("[1]", "holds list where an object of results was expected."),
        ('{"schema": 1}', "were written by matboard 0.1.0"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunError) as error:
        read(tmp_path)
    assert str(path) in str(error.value)
    assert words in str(error.value)


CELL = {"model": "m", "task": "t", "condition": "full", "metric": "accuracy", "n": 3}
UNFIT = [
    ({"cells": (CELL, CELL)}, "the cell m · t · full · ranking stands there 2 times"),
    (
        {"cells": (CELL | {"model": "x"},)},
        "the model 'x' is named, which is not among the models",
    ),
    (
        {"cells": (CELL | {"versus": {"shrunk": {}}},)},
        "the condition 'shrunk' is named, which is not among the conditions",
    ),
    ({"models": ({"name": "m"}, {"name": "m"})}, "2 models are called 'm'"),
]


@pytest.mark.parametrize(("more", "words"), UNFIT)
def test_a_writer_cannot_write_what_does_not_fit_together(
    more: Any, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        table(**more)


def test_a_baseline_says_which_one_it_is() -> None:
    with pytest.raises(ValidationError, match="a baseline says which one it is"):
        Condition(name="shrunk", label="shrunk", role="baseline")


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.1, 0.3, "better"),
        (-0.3, -0.1, "worse"),
        (-0.1, 0.3, "undecided"),
        (0.0, 0.3, "undecided"),
        (None, None, "undecided"),
    ],
)
def test_a_difference_is_decided_by_its_interval(
    low: float | None, high: float | None, decision: str
) -> None:
    difference = Difference(value=0.1, low=low, high=high)
    assert difference.decision == decision
    opposite = {"better": "worse", "worse": "better"}
    assert difference.turned.decision == opposite.get(decision, decision)
    assert difference.too_few == (low is None)


def test_numbers_that_are_not_finite_are_none() -> None:
    nan = float("nan")
    assert Interval.of(Estimate(0.5, nan, nan, 4)) == Interval(value=0.5, n=4)
    cell = Cell(model="m", task="t", condition="c", metric="auc", n=4, value=nan)
    assert cell.value is None
    assert StepRow(step=1, loss=float("inf")).loss is None


def test_targets_whose_encoder_nobody_knows_are_a_group_of_their_own() -> None:
    groups = [
        Model(name="m", shares_encoder=shares).group for shares in (True, False, None)
    ]
    assert groups == ["same", "other", "unknown"]


def test_a_line_of_the_log_says_only_what_there_is() -> None:
    row = StepRow(run="tvp-s0", step=3, loss=0.5, losses={"task_loss": 0.5})
    line = {"run": "tvp-s0", "step": 3, "loss": 0.5, "losses": {"task_loss": 0.5}}
    assert row.as_line() == line
    assert read_step(line) == row
    with pytest.raises(
        RunError, match=r"^metrics.jsonl holds a line .*\(task_loss: Extra"
    ):
        read_step({"step": 1, "loss": 0.5, "task_loss": 0.5})


def test_a_path_joins_learners_that_differ_in_the_weight_alone() -> None:
    def learner(name: str, method: str = "generator", **options: Any) -> Learner:
        return Learner(name=name, method=method, kind="prompt", options=options)

    found = weight_paths(
        [
            learner("half", distillation=0.5, head="ridge"),
            learner("none", distillation=0.0, head="ridge"),
            learner("calibrated", distillation=0.0, head="linear"),
            learner("image", "generator-image", distillation=0.0, head="ridge"),
            learner("without", head="ridge"),
        ],
        "distillation",
    )
    points = [
        [(point.weight, point.learner) for point in path.points] for path in found
    ]
    assert points == [[(0.0, "none"), (0.5, "half")]]


def test_the_schemas_in_docs_are_current() -> None:
    folder = Path(__file__).parents[2] / "docs/schema"
    written = {
        path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")
    }
    assert written == json_schemas(), "run python tests/recorded/schema.py"
