"""Early stopping: a part of the training samples that nothing is learned from is judged every so
many steps; the best prompt is kept, and a fit that no longer improves stops.

This is the criterion UP with patience of Prechelt, "Early Stopping – But When?" (1998), on the
metric that prompts are judged by instead of a loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from matboard.errors import ConfigError
from matboard.registry import check_options, options_of
from matboard.results.transfer import Scorer
from matboard.tasks.task import Task

Count = Annotated[int, Field(ge=1, le=10**9)]
Share = Annotated[float, Field(gt=0, lt=1)]
KEY = "validation"
"""Where its options stand in a configuration."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How a fit is validated while it learns.

    A schedule of the learning rate has the length of the whole fit: one that is stopped early has
    not reached its end.

    Attributes:
        share: of the training samples, in (0, 1), that are held out for it.
        limit: at most so many samples, however large the share.
        every: steps from one validation to the next; the start and the last step are validated too.
        patience: validations without a better score after which learning stops. None: it makes
            all its steps, and the best prompt is kept.
        scorer: how held-out samples are judged; a study's first scorer where it has none.
        batch_size: pictures that go through a model at once.

    Raises:
        ConfigError: a value out of its range.
    """

    share: Share = 0.1
    limit: Count = 200
    every: Count = 50
    patience: Count | None = 5
    scorer: Scorer = "ranking"
    batch_size: Count = 32

    def __post_init__(self) -> None:
        check_options(asdict(self), options_of(Validation), KEY, prefix=f"{KEY}.")


@dataclass(frozen=True)
class Best:
    """The best prompt so far.

    Attributes:
        step: the step after which it was found, counted from 1; 0 is the start.
        score: its mean validation score over source models, in [0, 1].
        waited: validations since, none of which was better.
    """

    step: int
    score: float
    waited: int = 0

    def after(self, step: int, score: float) -> Best:
        """The best one once the prompt of a later step was judged. Of equal ones the first."""
        if score > self.score:
            return Best(step, score)
        return Best(self.step, self.score, self.waited + 1)

    def stops(self, validation: Validation) -> bool:
        """Whether patience has run out."""
        return validation.patience is not None and self.waited >= validation.patience


def split(
    validation: Validation | None, task: Task, seed: int
) -> tuple[Task, Task | None]:
    """(what is learned from, task whose test part is what was held out), balanced by group; all of
    it and None without validation. Raises TaskError where nothing is left to learn from.
    """
    if validation is None:
        return task, None
    fraction = min(validation.share, validation.limit / len(task.train))
    return task.validation_split(fraction, seed)


def resolve(
    own: Mapping[str, Any] | None,
    asked: Mapping[str, Any] | None,
    defaults: Mapping[str, Any],
    key: str = KEY,
) -> dict[str, Any] | None:
    """All options of a validation, for records; None for none.

    Args:
        own: the method's; None: it has no validation of its own.
        asked: what is laid over it; nothing asked leaves the method's own, None switches it off.
        defaults: what counts where neither says anything.
        key: where ``asked`` stands in the configuration, for error messages.

    Raises:
        UnknownName: no such option.
        ConfigError: a value of the wrong kind, or out of its range.
    """
    if asked is None or (own is None and not asked):
        return None
    options = {**defaults, **(own or {}), **asked}
    schema = options_of(Validation)
    checked = check_options(options, schema, KEY, prefix=f"{key}.")
    return asdict(Validation(**checked))


def steps_of(
    steps: int | None, epochs: float | None, samples: int, batch_size: int
) -> int:
    """How many steps a fit makes: ``steps``, or ⌈epochs · samples / batch_size⌉.

    Raises:
        ConfigError: both came, or neither.
    """
    if (steps is None) == (epochs is None):
        raise ConfigError(
            f"steps is {steps} and epochs is {epochs}; give one of them, which says how long to"
            " learn."
        )
    if steps is not None:
        return steps
    assert epochs is not None
    return math.ceil(epochs * samples / batch_size)
