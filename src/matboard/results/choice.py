"""``results.json`` of choosing a prompt for a model: which to use, if any, and how sure that is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from matboard.results.parts import Difference, Interval, Part
from matboard.results.transfer import Scorer


class Candidate(Part):
    """A prompt that could have been chosen.

    Attributes:
        name: what the choice calls it; ``shrunk`` is the picture behind a black border.
        geometry: form of the border in words; empty where nobody knows it.
        pictures: how many the model was asked about with it.
        wins, losses: pictures that it got right and no prompt wrong, and the other way round.
        accuracy: on its pictures, with Wilson's 95 % interval.
        difference: to no prompt on the same pictures. All candidates' intervals hold at once with
            ``confidence``, however the choice went.
        p_value: the smallest error rate of the whole choice at which its gain is shown.
        gain_shown: whether it is, at the error rate asked for.
    """

    name: str
    geometry: str = ""
    pictures: int
    wins: int
    losses: int
    accuracy: Interval
    difference: Difference
    p_value: float
    gain_shown: bool


class ChoiceResults(Part):
    """The decision and what it stands on.

    Attributes:
        model: empty where predictions came from a model that nobody named.
        metric: the task's; compared are right and wrong answers, picture by picture.
        error_rate: how often, at most, a prompt is used that is no better than none.
        confidence: of all intervals of differences at once.
        pictures: how many labelled pictures there were.
        rounds: after how many pictures candidates were compared, as far as it went.
        none: accuracy without any prompt on the pictures it was asked about.
        candidates: the best first.
        winner: name of the prompt to use; None: use no prompt.
        prompt: folder of the winner's copy, inside the run folder; None where there is none.
        calls: pictures that the model was shown, each way counted.
        calls_of_all: what everything on everything would have taken.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["choice"] = "choice"
    model: str = ""
    task: str = ""
    metric: str = "accuracy"
    scorer: Scorer | None = None
    error_rate: float
    confidence: float
    pictures: int
    rounds: tuple[int, ...]
    none: Interval
    candidates: tuple[Candidate, ...]
    winner: str | None
    prompt: str | None = None
    calls: int
    calls_of_all: int
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    made_from: str = ""

    @model_validator(mode="after")
    def _winner_has_shown_a_gain(self) -> ChoiceResults:
        names = [one.name for one in self.candidates]
        if len(set(names)) < len(names):
            raise ValueError("two candidates have one name")
        able = [one.name for one in self.candidates if one.gain_shown]
        if self.winner is None and able:
            raise ValueError(f"{able[0]!r} has shown a gain, yet nothing is chosen")
        if self.winner is not None and self.winner not in able:
            raise ValueError(f"the winner {self.winner!r} has shown no gain")
        return self

    @property
    def best(self) -> Candidate:
        """The winner; without one, the candidate that came closest."""
        named = (one for one in self.candidates if one.name == self.winner)
        return next(named, self.candidates[0])
