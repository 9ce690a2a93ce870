"""One line of ``metrics.jsonl``: what a step of learning did, for fits and streams alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from matboard.errors import RunError
from matboard.results.parts import Number, Part


class StepRow(Part):
    """One step.

    Attributes:
        run: in a study's log, the name of the fit.
        step: counted from 1; in a stream over all tasks.
        task: in a stream, which task is being learned, counted from 1.
        loss: the whole loss; None where it was not finite.
        losses: each term before its weight.
        skipped: steps of this fit skipped so far because there was nothing to learn from.
        queries: pictures shown to the source models of this fit so far, validation included; None
            in a stream.
        unanswered: pictures of this step that nothing was learned from, because a closed model did
            not answer about them.
        gradient_norms: L2 norms at the pixels of each weighted term and of their sum.
        gradient_cosines: pair of terms, ``a~b`` → cosine between their gradients.
        per_model: source model → its own quantities.
        validation: source model → validation score after this step, in [0, 1].
        references: of a validated fit's first step: ``untouched`` and ``start``, the scores of the
            pictures as they are and of the prompt before learning.
        outlier_share: share of the batch's gradient energy that one picture holds, the largest.
        float32_cosine: of the first step of a fit in lower precision, its gradient's cosine to
            float32's.
    """

    run: str = ""
    step: int
    task: int | None = None
    loss: Number
    losses: dict[str, Number] = Field(default={})
    lr: float | None = None
    skipped: int = 0
    queries: int | None = None
    unanswered: int = 0
    seconds: float | None = None
    gradient_norms: dict[str, Number] = Field(default={})
    gradient_cosines: dict[str, Number] = Field(default={})
    per_model: dict[str, dict[str, Number]] = Field(default={})
    validation: dict[str, float] = Field(default={})
    references: dict[str, dict[str, float]] = Field(default={})
    outlier_share: Number = None
    float32_cosine: Number = None

    def as_line(self) -> dict[str, Any]:
        """Plain values for the log, without what says nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)


def read_step(line: Mapping[str, Any]) -> StepRow:
    """A line of the log. Raises RunError where it is none that this matboard writes."""
    try:
        return StepRow.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(
            f"metrics.jsonl holds a line that this matboard does not write ({where}:"
            f" {first['msg']}), so no curves can be drawn. matboard 0.1.0 wrote other lines;"
            " to see them, use that version."
        ) from error
