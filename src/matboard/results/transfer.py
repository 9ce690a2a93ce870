"""A transfer table and what belongs to it: ``results.json`` of a study of pixel prompts.

Names join the parts: a cell names its model, its task and its condition. Nothing is to be read out
of a name; what is known of a thing stands in its own fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from matboard.results.parts import Difference, Number, Part, Skipped
from matboard.results.shown import Example, PromptFacts

Baseline: TypeAlias = Literal["full", "shrunk", "random", "flat"]
Group: TypeAlias = Literal["source", "same", "other", "unknown"]
Pooled: TypeAlias = Group | Literal["unseen", "untaught"]
Scorer: TypeAlias = Literal["ranking", "generation"]
Setting: TypeAlias = bool | int | float | str | tuple[str, ...] | None
Precision: TypeAlias = Literal["float32", "bfloat16", "mixed"]

GROUPS: tuple[Group, ...] = ("source", "same", "other", "unknown")
TARGETS: tuple[Group, ...] = GROUPS[1:]
SCORERS: tuple[Scorer, ...] = ("ranking", "generation")


class Model(Part):
    """One measured model.

    Attributes:
        encoder: fingerprint of its vision encoder; empty where nobody knows it.
        shares_encoder: whether a source has the same encoder; None where it is not known of both.
    """

    name: str
    encoder: str = ""
    is_source: bool = False
    shares_encoder: bool | None = None

    @property
    def group(self) -> Group:
        """Sources and targets are reported apart, and targets by whose encoder they have."""
        if self.is_source:
            return "source"
        if self.shares_encoder is None:
            return "unknown"
        return "same" if self.shares_encoder else "other"


class Corruption(Part):
    """What a task's test pictures were spoilt by.

    Attributes:
        kind: such as ``gaussian_noise``.
        severity: 1 to 5.
        clean: name of the task without it.
    """

    kind: str
    severity: int
    clean: str


class TaskFacts(Part):
    """One task.

    Attributes:
        corruption: of its pictures; None where they are as the data set has them.
        metric: what its samples are scored with, in [0, 1].
        n: test samples.
        chance: what guessing scores.
        held_out: share of the training samples that it was judged on; None for the test part.
        fingerprint: of its test part.
        skipped: pictures that could not be read.
    """

    name: str
    metric: str
    n: int
    chance: Number = None
    held_out: float | None = None
    fingerprint: str = ""
    skipped: tuple[Skipped, ...] = ()
    corruption: Corruption | None = None


class Origin(Part):
    """How the prompts of a condition came to be: what a study varied.

    Attributes:
        variant: its name in the configuration, without what a grid adds.
        swept: key of the grid → its value for this condition.
        sources: the models that it was learned on; several make an ensemble.
        task: what it was learned on; None where each judged task has prompts of its own.
        terms: term of the objective → its weight, of those with any.
    """

    variant: str
    swept: dict[str, Setting] = Field(default={})
    sources: tuple[str, ...] = ()
    task: str | None = None
    terms: dict[str, float] = Field(default={})


class Condition(Part):
    """A way of showing a picture: untouched, behind an unlearned border, or with learned prompts.

    Attributes:
        name: what cells call it; for a method the variant's name in the configuration.
        label: what people read.
        role: a bound shows each model prompts that were learned on itself: what no transfer can
            be expected to exceed.
        baseline: which one it is; None for the other roles.
        method: name of the registered method; None for baselines and for prompts of unknown origin.
        geometry: form of the border in words, such as ``border 30 of 224``; None for the full
            picture. Conditions of one geometry bear the same words.
        seeds: one for each prompt; empty where there is nothing random.
        compared_with: names of the conditions it is paired with.
        origin: of a learned prompt, where a study knows it.
    """

    name: str
    label: str
    role: Literal["baseline", "method", "bound"]
    baseline: Baseline | None = None
    method: str | None = None
    geometry: str | None = None
    seeds: tuple[int, ...] = ()
    compared_with: tuple[str, ...] = ()
    origin: Origin | None = None

    @model_validator(mode="after")
    def _role_fits(self) -> Condition:
        if (self.role == "baseline") != (self.baseline is not None):
            raise ValueError(
                f"condition {self.name!r} has role {self.role!r} and baseline {self.baseline!r}:"
                " a baseline says which one it is, and nothing else is one"
            )
        return self


class Cell(Part):
    """One model on one task under one condition, read by one scorer.

    Attributes:
        value: in the metric's unit, [0, 1]; mean over seeds.
        low, high: 95 % interval; None where there are too few samples for one.
        seeds: the value with each seed of the condition, in its order.
        versus: name of a condition → this one minus that one, paired.
        unparsable: share of generated answers that name no candidate.
        unanswered: share of pictures that a closed model did not answer about, which count as
            wrong; None where there are none.
        also: what the task's other metrics are, in [0, 1]; means over seeds.
        failed: the sentence that says why there is no value.
        kept: which files of the store's ``scores`` hold what the model said, one a seed; see
            ``matboard predictions``.
    """

    model: str
    task: str
    condition: str
    scorer: Scorer = "ranking"
    metric: str
    n: int
    value: Number = None
    low: Number = None
    high: Number = None
    seeds: tuple[Number, ...] = ()
    versus: dict[str, Difference] = Field(default={})
    unparsable: Number = None
    unanswered: Number = None
    also: dict[str, Number] = Field(default={})
    failed: str | None = None
    kept: tuple[str, ...] = ()

    @property
    def too_few(self) -> bool:
        """Whether it was measured on too few samples for an interval."""
        return self.value is not None and (self.low is None or self.high is None)


class Contrast(Part):
    """What a method gains over several models and tasks at once: the mean of paired differences.

    Models and tasks are those that were named, not drawn from many: the interval speaks of other
    samples and other seeds, not of other models.

    Attributes:
        group: of which models; unseen are all but sources, untaught those that the method itself
            was not learned on, where several were learned on different models.
        task: None over all tasks, each in its own metric.
        method: the condition that gains, a method or a bound.
        against: another method; None for each model's best baseline on each task, see
            `best_baseline`.
        models, pairs: how many models, and pairs of a model and a task.
        seeds: how many prompts of the method stand behind it.
        unparsable: share of the method's generated answers that name no candidate.
    """

    scorer: Scorer
    group: Pooled
    task: str | None = None
    method: str
    against: str | None = None
    models: int
    pairs: int
    seeds: int
    difference: Difference
    unparsable: Number = None


class TransferResults(Part):
    """``results.json`` of a study of pixel prompts, and of judging a prompt that exists.

    Attributes:
        made_from: content address of all that decides them.
        precision: of the weights of the models while they were judged; ``mixed`` is float32 for the
            eye and bfloat16 for all else. Null: all of them are behind an API.
        device: where they ran, for the process that wrote this; empty where that is not known.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["transfer"] = "transfer"
    title: str = ""
    sources: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    conditions: tuple[Condition, ...] = ()
    cells: tuple[Cell, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    prompts: tuple[PromptFacts, ...] = ()
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Number = None
    made_from: str = ""
    precision: Precision | None = "float32"
    device: str = ""

    @model_validator(mode="after")
    def _names_fit(self) -> TransferResults:
        models = _distinct("model", (model.name for model in self.models))
        tasks = _distinct("task", (task.name for task in self.tasks))
        conditions = _distinct("condition", (c.name for c in self.conditions))
        _known("model", (cell.model for cell in self.cells), models)
        _known("task", (cell.task for cell in self.cells), tasks)
        _known("condition", (cell.condition for cell in self.cells), conditions)
        _known(
            "condition",
            (name for cell in self.cells for name in cell.versus),
            conditions,
        )
        _known(
            "condition",
            (n for c in self.conditions for n in c.compared_with),
            conditions,
        )
        named = ((c.method, c.against) for c in self.contrasts)
        _known("condition", (n for pair in named for n in pair if n), conditions)
        _known("task", (c.task for c in self.contrasts if c.task), tasks)
        _known("condition", (prompt.condition for prompt in self.prompts), conditions)
        shown = (
            shown.condition for example in self.examples for shown in example.shown
        )
        _known("condition", shown, conditions)
        return self

    @model_validator(mode="after")
    def _cells_are_distinct(self) -> TransferResults:
        places = Counter((c.model, c.task, c.condition, c.scorer) for c in self.cells)
        for place, count in places.items():
            if count > 1:
                raise ValueError(
                    f"the cell {' · '.join(place)} stands there {count} times"
                )
        return self

    def __repr__(self) -> str:
        return (
            "TransferResults(models × tasks × conditions:"
            f" {len(self.models)} × {len(self.tasks)} × {len(self.conditions)})"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The table, where a notebook shows it."""
        from matboard.results.in_notebooks import transfer_html

        return transfer_html(self)

    @property
    def methods(self) -> tuple[Condition, ...]:
        """The learned prompts among the conditions."""
        return tuple(c for c in self.conditions if c.role == "method")

    @property
    def baselines(self) -> tuple[Condition, ...]:
        """What they are compared with, in the file's order."""
        return tuple(c for c in self.conditions if c.role == "baseline")

    @property
    def bounds(self) -> tuple[Condition, ...]:
        """Prompts learned on each model itself."""
        return tuple(c for c in self.conditions if c.role == "bound")

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """How answers were read, ``ranking`` first."""
        used = {cell.scorer for cell in self.cells}
        return tuple(scorer for scorer in SCORERS if scorer in used)

    def group(self, group: Group) -> tuple[Model, ...]:
        """The models of one group, in the file's order."""
        return tuple(model for model in self.models if model.group == group)

    def condition(self, name: str) -> Condition:
        """The condition of that name."""
        return next(c for c in self.conditions if c.name == name)

    def by_place(self, scorer: Scorer) -> dict[tuple[str, str, str], Cell]:
        """(model, task, condition) → cell."""
        chosen = (cell for cell in self.cells if cell.scorer == scorer)
        return {(cell.model, cell.task, cell.condition): cell for cell in chosen}


def best_baseline(
    cell: Cell,
    cells: Mapping[tuple[str, str, str], Cell],
    baselines: Collection[str],
) -> str | None:
    """Name of the baseline with the highest value, of those that a cell was paired with; None
    where there is none.

    It is picked on the very samples that it is then compared on, so their luck speaks for it: a
    gain over it is harder to show than one over a baseline named beforehand.

    Args:
        cells: (model, task, condition) → cell, of the cell's scorer.
        baselines: names of all baselines.
    """
    values: dict[str, float] = {}
    for name in cell.versus:
        other = cells.get((cell.model, cell.task, name))
        if name in baselines and other is not None and other.value is not None:
            values[name] = other.value
    return max(values, key=lambda name: values[name], default=None)


def _distinct(what: str, names: Iterable[str]) -> set[str]:
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"{count} {what}s are called {name!r}")
    return set(counts)


def _known(what: str, named: Iterable[str], known: set[str]) -> None:
    strange = sorted(set(named) - known)
    if strange:
        raise ValueError(
            f"the {what} {strange[0]!r} is named, which is not among the {what}s"
        )
