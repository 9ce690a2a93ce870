"""How many pictures a fit shows to its source models: what a closed model is paid for.

Counted are pictures shown while learning (each as often as it is shown, with whichever prompt), and
those of validation, to every source model. Not counted: clean pictures that features are compared
with, and training pictures that a classifier's label mapping is counted on.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from matboard.errors import ConfigError
from matboard.tasks.task import Task
from matboard.transfer.validation import Validation

REFERENCES = 2
"""Validations that come with the first step: of the untouched pictures, and of the start."""


@dataclass(frozen=True)
class Queries:
    """What a fit costs in pictures.

    Attributes:
        a_step: pictures shown in a step, to all source models.
        a_validation: the same of a validation; 0 where there is none.
        every: steps from one validation to the next.
    """

    a_step: int
    a_validation: int = 0
    every: int = 1

    @classmethod
    def of(
        cls,
        a_step: int,
        models: int,
        validation: Validation | None,
        held: Task | None,
    ) -> Queries:
        """Those of a fit.

        Args:
            a_step: pictures shown in a step to one model.
            held: its test part is what validation judges on.
        """
        if validation is None or held is None:
            return cls(a_step * models)
        return cls(a_step * models, len(held.test) * models, validation.every)

    def after(self, step: int, last: bool) -> int:
        """Pictures shown once ``step`` steps are done, at least 1; ``last``: no other follows, so
        that it was validated.
        """
        validations = REFERENCES + step // self.every
        validations += last and step % self.every > 0
        return step * self.a_step + validations * self.a_validation

    def steps_within(self, most: int) -> int:
        """The longest fit that shows at most so many pictures. Raises ConfigError where that is
        not one step.
        """
        lengths = range(1, most // self.a_step + 1)
        steps = bisect_right(lengths, most, key=lambda step: self.after(step, True))
        if steps == 0:
            raise ConfigError(
                f"queries is {most}, but a fit of one step shows {self.after(1, True)} pictures to"
                f" its source models: {self.a_step} to learn from, and"
                f" {self.after(1, True) - self.a_step} in validation. Allow as many, or make"
                " batch_size or validation.limit smaller."
            )
        return steps
