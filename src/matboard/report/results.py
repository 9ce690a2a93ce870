"""``results.json``: its schema, read tolerantly; unknown keys are ignored, a number that is not
finite is no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from matboard.errors import RunError

SCHEMA = 1

Content = TypeVar("Content", bound=BaseModel)
Group: TypeAlias = Literal["source", "same", "other"]
GROUPS: tuple[Group, ...] = ("source", "same", "other")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Tolerant(BaseModel):
    """Unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Difference(Tolerant):
    """A paired difference to a baseline and its 95 % interval."""

    value: Number = None
    low: Number = None
    high: Number = None

    @property
    def decision(self) -> Literal["better", "worse", "undecided"]:
        """Which side of zero the whole interval lies on."""
        if self.low is not None and self.low > 0:
            return "better"
        return "worse" if self.high is not None and self.high < 0 else "undecided"


class Cell(Tolerant):
    """One model on one task under one condition. ``value``, ``low`` and ``high`` are in the
    metric's unit, [0, 1].
    """

    model: str
    task: str
    condition: str
    scorer: str = "ranking"
    metric: str = "accuracy"
    n: int | None = None
    value: Number = None
    low: Number = None
    high: Number = None
    seeds: tuple[Number, ...] = ()
    versus: dict[str, Difference | None] = {}
    unparsable: float | None = None

    def against(self, baseline: str) -> Difference | None:
        """The paired difference to ``baseline``, where it was measured."""
        return self.versus.get(baseline)


class Model(Tolerant):
    """One measured model."""

    name: str
    encoder: str = ""
    is_source: bool = False
    shares_encoder: bool = False

    @property
    def group(self) -> Group:
        """Source and targets are reported apart, and targets by whose encoder they have."""
        if self.is_source:
            return "source"
        return "same" if self.shares_encoder else "other"


class TaskFacts(Tolerant):
    """One task: its metric, how many test samples, and what guessing scores."""

    name: str
    metric: str = "accuracy"
    n: int | None = None
    chance: Number = None


class Condition(Tolerant):
    """What was put around the picture: a baseline or a learned prompt."""

    name: str
    label: str = ""
    kind: str = "method"

    @property
    def title(self) -> str:
        """What people read."""
        return self.label or self.name


class Example(Tolerant):
    """One picture and what a model answers without and with the prompt; pictures lie inside the run
    folder.
    """

    model: str
    task: str = ""
    question: str = ""
    answer: str = ""
    condition: str = ""
    before: str = ""
    after: str = ""
    picture: str = ""
    prompted: str = ""


class Results(Tolerant):
    """``results.json``: a transfer table and what belongs to it."""

    kind: str = "transfer"
    seconds: Number = None
    sources: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    conditions: tuple[Condition, ...] = ()
    cells: tuple[Cell, ...] = ()
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _cells_are_declared(self) -> Results:
        for what, declared in (
            ("model", self.models),
            ("task", self.tasks),
            ("condition", self.conditions),
        ):
            unknown = {getattr(cell, what) for cell in self.cells} - {
                thing.name for thing in declared
            }
            if unknown:
                raise ValueError(
                    f"cells name the {what} {sorted(unknown)[0]!r}, which is not among the {what}s"
                )
        return self

    @property
    def methods(self) -> tuple[Condition, ...]:
        """The learned prompts among the conditions."""
        return tuple(c for c in self.conditions if c.kind == "method")

    @property
    def baselines(self) -> tuple[Condition, ...]:
        """Everything else, in the file's order."""
        return tuple(c for c in self.conditions if c.kind != "method")

    @property
    def scorers(self) -> tuple[str, ...]:
        """How answers were read, ``ranking`` first."""
        return tuple(
            sorted({cell.scorer for cell in self.cells}, key=lambda s: (s != "ranking", s))
        )

    def group(self, group: Group) -> tuple[Model, ...]:
        """The models of one group, in the file's order."""
        return tuple(m for m in self.models if m.group == group)

    @property
    def source_measured(self) -> bool:
        """Whether a source stands in the table; where none does, nobody knows who shares its
        encoder.
        """
        return any(model.is_source for model in self.models)

    @property
    def group_titles(self) -> dict[Group, str]:
        """What people read for each group."""
        if not self.source_measured:
            return {
                "source": "source",
                "same": "targets",
                "other": "targets (no source measured: encoders not compared)",
            }
        return {
            "source": "source",
            "same": "targets sharing the source’s encoder",
            "other": "targets with another encoder",
        }

    def by_place(self, scorer: str) -> dict[tuple[str, str, str], Cell]:
        """(model, task, condition) → cell."""
        return {(c.model, c.task, c.condition): c for c in self.cells if c.scorer == scorer}


def parse_results(results: Mapping[str, Any]) -> Results:
    """Read ``results.json``'s content. Raises RunError where it does not follow the schema, or a
    newer one.
    """
    return validated(Results, results)


def validated(model: type[Content], results: Mapping[str, Any]) -> Content:
    """``results`` as ``model``. Raises RunError where they do not follow the schema, or a newer
    one.
    """
    schema = results.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise RunError(
            f"These results follow schema {schema}; this matboard reads schema {SCHEMA}. Upgrade"
            " matboard to report on them."
        )
    try:
        return model.model_validate(dict(results))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "results"
        reason = first["msg"].removeprefix("Value error, ")
        raise RunError(
            f"These results do not follow schema {SCHEMA}: {where}: {reason}. Run the evaluation"
            " again."
        ) from error
