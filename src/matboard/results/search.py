"""``results.json`` of a search: every trial, and which was best."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from matboard.results.parts import Number, Part


class Look(Part):
    """A validation score on the way.

    Attributes:
        step: of all the trial's fits, counted one after the other.
        score: mean over the fits so far, in [0, 1].
    """

    step: int
    score: Number


class Trial(Part):
    """What was tried.

    Attributes:
        state: ``pruned``: it was given up, because it lay behind; ``failed``: nothing could be
            learned, see ``error``.
        values: searched key → value.
        score: validation score, mean over seeds and tasks; of a pruned one the last.
        looks: what pruning went by.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "running"]
    values: dict[str, Any]
    score: Number = None
    looks: tuple[Look, ...] = ()
    seconds: Number = None
    error: str = ""


class SearchResults(Part):
    """A search.

    Attributes:
        variant: the study's name for what was tuned.
        scored: ``best``: as validation keeps the best prompt, its score; ``last``: without
            validation of its own a fit makes all its steps, and the prompt after the last counts.
        validation: options of the validation that scores come from.
        ranges: searched key → what its values were drawn from.
        best: number of the best trial.
        config: the study with the best values, a file in the run folder.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["search"] = "search"
    title: str = ""
    variant: str
    scored: Literal["best", "last"]
    validation: dict[str, Any]
    ranges: dict[str, dict[str, Any]]
    seed: int
    pruner: str
    trials: tuple[Trial, ...]
    best: int
    config: str = "best.yaml"
    made_from: str = ""

    @model_validator(mode="after")
    def _best_is_complete(self) -> SearchResults:
        states = {trial.number: trial.state for trial in self.trials}
        if states.get(self.best) != "complete":
            raise ValueError(f"the best trial, {self.best}, is none that was completed")
        return self

    @property
    def best_trial(self) -> Trial:
        """The best one."""
        return next(trial for trial in self.trials if trial.number == self.best)
