"""``results.json`` of a study of continual learners on one task stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from matboard.results.parts import Difference, Interval, Number, Part, Skipped

Kind: TypeAlias = Literal["prompt", "baseline", "control"]
KINDS: tuple[Kind, ...] = ("prompt", "baseline", "control")


class StreamFacts(Part):
    """The task stream: ``classes`` of its label space, ``train`` and ``test`` samples.

    Attributes:
        held_out: share of the training samples that it was judged on; None for the test part.
        skipped: pictures that could not be read.
    """

    name: str
    kind: Literal["class-incremental", "domain-incremental"]
    tasks: int
    classes: tuple[str, ...]
    train: int
    test: int
    held_out: float | None = None
    skipped: tuple[Skipped, ...] = ()


class BackboneFacts(Part):
    """The frozen model; ``side`` of its pictures in pixels."""

    name: str
    dim: int
    side: int
    layers: int


class Learner(Part):
    """A continual method with its options.

    Attributes:
        method: name of the registered learner.
        kind: ``control`` where no prompt is learned, ``baseline`` where one is without protection.
        flags: what a reader of its results must know, as sentences.
        parameters: how many numbers gradient descent changes.
        state_bytes: what it must keep from task to task.
        picture_form: what its prompts' pictures are; None where there are none.
    """

    name: str
    method: str
    kind: Kind
    options: dict[str, Any] = Field(default={})
    flags: tuple[str, ...] = ()
    parameters: int | None = None
    state_bytes: int | None = None
    picture_form: Literal["kept", "reshaped"] | None = None


class MetTask(Part):
    """One task as a seed met it; ``classes`` by name."""

    name: str
    classes: tuple[str, ...]


class Outcome(Part):
    """One learner with one seed.

    Attributes:
        forgetting: named definition → value.
        matrix, selection, pictures: files in the run folder.
        tasks: in the order in which this seed met them.
    """

    learner: str
    seed: int
    accuracy: Number = None
    average_incremental_accuracy: Number = None
    learning_accuracy: Number = None
    backward_transfer: Number = None
    forgetting: dict[str, Number] = Field(default={})
    seconds: Number = None
    skipped_steps: int = 0
    matrix: str
    selection: str | None = None
    pictures: tuple[str, ...] = ()
    tasks: tuple[MetTask, ...]


class Against(Part):
    """Paired differences, this learner minus the other. Less forgetting is better."""

    accuracy: Difference
    forgetting: Difference


class Summary(Part):
    """One learner over its seeds.

    Attributes:
        forgetting: under the definition that ``StreamResults.forgetting_name`` names.
        against: beside the reference; None for itself.
        over_control: beside the run's best control; None for itself, or where there is none.
    """

    learner: str
    seconds: Number = None
    accuracy: Interval = Interval()
    forgetting: Interval = Interval()
    average_incremental_accuracy: Interval = Interval()
    against: Against | None = None
    over_control: Against | None = None


class Weighted(Part):
    """One point of a path."""

    weight: float
    learner: str


class WeightPath(Part):
    """Learners that differ in the weight of distillation (LwF) alone, in its order.

    Attributes:
        option: the learners' option that is the weight.
    """

    option: str
    points: tuple[Weighted, ...]


class StreamResults(Part):
    """``results.json`` of a study of continual learners.

    Attributes:
        reference: the learner that the others are compared with.
        control: the most accurate control; None where there is none.
        forgetting_name: which definition the summary's forgetting follows.
        made_from: content address of all that decides them.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["stream"] = "stream"
    title: str = ""
    stream: StreamFacts
    backbone: BackboneFacts
    reference: str
    control: str | None = None
    forgetting_name: str
    learners: tuple[Learner, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    summary: tuple[Summary, ...] = ()
    paths: tuple[WeightPath, ...] = ()
    peak_memory_mb: Number = None
    seconds: Number = None
    notes: tuple[str, ...] = ()
    made_from: str = ""

    def __repr__(self) -> str:
        return (
            f"StreamResults({self.stream.name}: {self.stream.tasks} tasks,"
            f" {len(self.learners)} learners)"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The table, where a notebook shows it."""
        from matboard.results.in_notebooks import stream_html

        return stream_html(self)

    @model_validator(mode="after")
    def _learners_are_declared(self) -> StreamResults:
        declared = {learner.name for learner in self.learners}
        if len(declared) < len(self.learners):
            raise ValueError("two learners have the same name")
        named = {self.reference}
        named.update(outcome.learner for outcome in self.outcomes)
        named.update(summary.learner for summary in self.summary)
        named.update(point.learner for path in self.paths for point in path.points)
        if self.control is not None:
            named.add(self.control)
        strange = sorted(named - declared)
        if strange:
            raise ValueError(
                f"the learner {strange[0]!r} is named, but is not among the learners"
            )
        return self


def weight_paths(learners: Sequence[Learner], option: str) -> tuple[WeightPath, ...]:
    """Paths of at least two learners whose methods and other options are the same.

    Args:
        option: the option that is the weight; learners without it are on no path.
    """
    alike: dict[str, dict[float, str]] = {}
    for learner in learners:
        if option in learner.options:
            others = {
                key: value for key, value in learner.options.items() if key != option
            }
            key = json.dumps([learner.method, others], sort_keys=True)
            weights = alike.setdefault(key, {})
            weights.setdefault(float(learner.options[option]), learner.name)
    paths = []
    for weights in alike.values():
        points = [
            Weighted(weight=weight, learner=weights[weight])
            for weight in sorted(weights)
        ]
        if len(points) > 1:
            paths.append(WeightPath(option=option, points=tuple(points)))
    return tuple(paths)
