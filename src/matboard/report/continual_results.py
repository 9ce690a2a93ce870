"""``results.json`` of a continual run: its schema, read as tolerantly as that of a transfer table."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from pydantic import Field, model_validator

from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.report.results import Difference, Number, Tolerant, validated

KIND = "continual"
KINDS = {
    "prompt": "prompted learners",
    "baseline": "baselines",
    "control": "controls: no prompt is learned",
}
_EQUAL = (
    1e-6  # accuracies; a mean that was rounded on its way into the file still counts as the same
)


class Part(Tolerant):
    """A part of the results: what is null is as good as absent."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: Any) -> Any:
        return (
            {key: value for key, value in content.items() if value is not None}
            if isinstance(content, dict)
            else content
        )


class Interval(Part):
    """A mean over seeds and its 95 % interval; ``n`` test samples."""

    value: Number = None
    low: Number = None
    high: Number = None
    n: int | None = None


class Stream(Part):
    """The task stream."""

    name: str = ""
    kind: str = ""
    tasks: int | None = None
    classes: tuple[str, ...] = ()
    train: int | None = None
    test: int | None = None


class Backbone(Part):
    """The frozen model; ``side`` of its pictures in pixels."""

    name: str = ""
    dim: int | None = None
    side: int | None = None
    layers: int | None = None


class Learner(Part):
    """A continual method with its options; ``state_bytes`` is what it must keep from task to task."""

    name: str
    method: str = ""
    kind: str = "prompt"
    options: dict[str, Any] = Field(default={})
    flags: tuple[str, ...] = ()
    parameters: int | None = None
    state_bytes: int | None = None


class Outcome(Part):
    """One learner with one seed. ``matrix``, ``selection`` and ``pictures`` are files in the run
    folder.
    """

    learner: str
    seed: int = 0
    accuracy: Number = None
    average_incremental_accuracy: Number = None
    learning_accuracy: Number = None
    backward_transfer: Number = None
    forgetting: dict[str, Number] = Field(default={})
    seconds: Number = None
    matrix: str | None = None
    selection: str | None = None
    pictures: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


class Against(Part):
    """Paired differences learner − reference. Less forgetting is better, so its sign speaks the
    other way round.
    """

    accuracy: Difference | None = None
    forgetting: Difference | None = None

    @property
    def forgets(self) -> Difference | None:
        """The difference in forgetting, turned so that above zero is better."""
        d = self.forgetting
        return d and Difference(value=_minus(d.value), low=_minus(d.high), high=_minus(d.low))


class Summary(Part):
    """One learner over its seeds: beside the reference (no ``against`` for itself) and beside the
    run's best control.
    """

    learner: str
    seconds: Number = None
    accuracy: Interval = Interval()
    forgetting: Interval = Interval()
    average_incremental_accuracy: Interval = Interval()
    against: Against | None = None
    over_control: Against | None = None


class Weighted(Part):
    """One point of a path of learners that differ only in the weight of distillation (LwF)."""

    weight: float
    learner: str


class ContinualResults(Part):
    """``results.json`` of a continual run."""

    title: str = ""
    stream: Stream = Stream()
    backbone: Backbone = Backbone()
    reference: str = ""
    control: str | None = None
    learners: tuple[Learner, ...] = ()
    outcomes: tuple[Outcome, ...] = Field(default=(), alias="cells")
    summary: tuple[Summary, ...] = ()
    path: tuple[Weighted, ...] = ()
    peak_memory_mb: Number = None
    seconds: Number = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _learners_are_declared(self) -> ContinualResults:
        names = {learner.name for learner in self.learners}
        for what, rows in (
            ("cells", self.outcomes),
            ("summary", self.summary),
            ("path", self.path),
        ):
            unknown = {row.learner for row in rows} - names
            if unknown:
                raise ValueError(
                    f"{what}: the learner {sorted(unknown)[0]!r} is not among the learners"
                )
        return self

    def of_kind(self, kind: str) -> tuple[Learner, ...]:
        """The learners of one kind, in the file's order; an unknown kind counts as a baseline."""
        return tuple(
            learner
            for learner in self.learners
            if (learner.kind if learner.kind in KINDS else "baseline") == kind
        )

    @property
    def arranged(self) -> tuple[Learner, ...]:
        """All learners in the order of the page: by kind, then as in the file."""
        return tuple(learner for kind in KINDS for learner in self.of_kind(kind))

    def seeds_of(self, learner: str) -> tuple[Outcome, ...]:
        """One learner's outcomes by seed."""
        return tuple(
            sorted(
                (o for o in self.outcomes if o.learner == learner), key=lambda outcome: outcome.seed
            )
        )

    def summary_of(self, learner: str) -> Summary:
        """One learner's summary; an empty one where there is none yet."""
        return next((s for s in self.summary if s.learner == learner), Summary(learner=learner))

    @property
    def seeds(self) -> int:
        """The smallest number of seeds behind any learner that was measured."""
        return min(
            (count for learner in self.learners if (count := len(self.seeds_of(learner.name)))),
            default=0,
        )

    @property
    def definition(self) -> str | None:
        """Which named forgetting the summary holds: the first whose means over seeds are the
        summary's; None where none is.
        """
        return next((name for name in FORGETTINGS if self._is_defined_by(name)), None)

    def mean_forgetting(self, learner: str, definition: str) -> float | None:
        """Mean over seeds; None where a seed lacks it."""
        values = [outcome.forgetting.get(definition) for outcome in self.seeds_of(learner)]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    def _is_defined_by(self, name: str) -> bool:
        pairs = [
            (s.forgetting.value, self.mean_forgetting(s.learner, name))
            for s in self.summary
            if s.forgetting.value is not None
        ]
        return bool(pairs) and all(
            ours is not None and abs(ours - theirs) < _EQUAL for theirs, ours in pairs
        )


def parse_continual(results: Mapping[str, Any]) -> ContinualResults:
    """Read ``results.json``'s content. Raises RunError where it does not follow the schema."""
    return validated(ContinualResults, results)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
