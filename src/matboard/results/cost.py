"""``results.json`` of a comparison of costs: what each way of adapting a model takes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from matboard.results.parts import Part


class Cost(Part):
    """What a way costs.

    Attributes:
        trainable: scalars that learning changes.
        share: of the model's weights, in [0, 1] where it learns no others.
        seconds, fastest, slowest: of a step: the median, and the ends.
        over_border: the median, in medians of the border.
        memory: the most bytes that a step held beyond what lay there before it.
        optimiser: bytes of the optimiser's state.
        kept: bytes of what was learned, for one model.
        kept_for_all: the same for as many models as were asked for.
    """

    name: str
    trainable: int
    share: float
    seconds: float
    fastest: float
    slowest: float
    over_border: float
    memory: int
    optimiser: int
    kept: int
    kept_for_all: int


class CostResults(Part):
    """Ways beside each other, on the same pictures in one run.

    Attributes:
        weights: of the model, how many.
        batch: pictures of a step.
        rounds: measured steps of each way.
        models: what is kept is counted for so many.
        device, threads, torch: where and by what it was measured.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["cost"] = "cost"
    title: str = ""
    model: str
    weights: int
    batch: int
    rounds: int
    models: int
    device: str
    threads: int
    torch: str
    costs: tuple[Cost, ...]
