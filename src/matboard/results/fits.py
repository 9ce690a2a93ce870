"""A study's fits: where they lie (``plan.json``), and what each leaves (its ``results.json``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from matboard.results.parts import Number, Part
from matboard.results.stream import Outcome


class PlannedFit(Part):
    """A fit that belongs to a study.

    Attributes:
        name: ``tvp-s0``; what its lines in the study's ``metrics.jsonl`` are called.
        variant: the study's name for how it is learned.
        method: name of the registered method or learner.
        model, task: the only ones that it is learned for; None where it is for all.
        folder: as seen from the study's.
    """

    name: str
    variant: str
    method: str
    seed: int
    model: str | None = None
    task: str | None = None
    folder: str = ""


class StudyPlan(Part):
    """``plan.json``: which fits belong to a study, written before the first of them is begun.

    Attributes:
        study: the kind of results that it will have.
        tasks: how many each fit learns one after the other.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["plan"] = "plan"
    study: Literal["transfer", "stream"]
    tasks: int = 1
    fits: tuple[PlannedFit, ...]


class FitResults(Part):
    """A pixel prompt that was learned.

    Attributes:
        variant: the study's name for how it was learned.
        method: name of the registered method.
        steps: that it made.
        longest: steps that it would have made at most; with fewer, validation ended it.
        skipped: steps skipped because there was nothing to learn from.
        queries: pictures shown to the source models, validation included; None in runs of before
            it was counted.
        best_step: with validation, the step whose prompt was kept; 0 is the start.
        best_score: that prompt's validation score, mean over source models.
        converged: whether it was no longer learning at the end; None where it cannot be told.
        convergence: that in a sentence.
        prompt: the saved prompt's folder, inside the fit's.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["fit"] = "fit"
    variant: str
    method: str
    seed: int
    steps: int
    longest: int
    skipped: int = 0
    queries: int | None = None
    seconds: Number = None
    best_step: int | None = None
    best_score: Number = None
    converged: bool | None = None
    convergence: str = ""
    prompt: str


class StreamFitResults(Part):
    """A learner that went through its stream.

    Attributes:
        parameters: how many numbers gradient descent changed.
        state_bytes: what it must keep from task to task.
        flags: what a reader of its results must know, as sentences.
        picture_form: what its prompts' pictures are; None where there are none.
        outcome: what was measured; its files lie in the fit's folder.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["stream-fit"] = "stream-fit"
    parameters: int
    state_bytes: int
    flags: tuple[str, ...] = ()
    picture_form: Literal["kept", "reshaped"] | None = None
    outcome: Outcome

    @property
    def files(self) -> tuple[str, ...]:
        """Everything it left behind."""
        said = self.outcome
        chosen = () if said.selection is None else (said.selection,)
        return (said.matrix, *chosen, *said.pictures)
