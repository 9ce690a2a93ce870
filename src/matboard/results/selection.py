"""``selection/<fit>.json``: how often each class chose each prompt of a pool."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from matboard.notebooks import shaded
from matboard.results.parts import Number, Part

Row: TypeAlias = tuple[Number, ...]


class SelectionResults(Part):
    """C classes, M prompts; None where a class has no samples. See ``matboard.analysis``.

    Attributes:
        samples: of each class.
        prompts: M.
        frequency: ``C × M``, share of the class's samples that chose the prompt.
        similarity: ``C × M``, mean similarity of key and query before the choice.
        class_entropy, usage_entropy, mutual_information, shuffled: in bits.
        usage: M shares of all choices.
        dead: prompts that no sample chose.
        p_value: share of label shuffles that reach the mutual information.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["selection"] = "selection"
    classes: tuple[str, ...]
    samples: tuple[int, ...]
    prompts: int
    frequency: tuple[Row, ...]
    class_entropy: Row
    usage: Row
    usage_entropy: float
    dead: tuple[int, ...]
    mutual_information: float
    p_value: float
    permutations: int
    shuffled: tuple[float, ...]
    similarity: tuple[Row, ...]

    def __repr__(self) -> str:
        return (
            f"SelectionResults({len(self.classes)} classes, {self.prompts} prompts,"
            f" {len(self.dead)} of them never chosen)"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """How often each class chose each prompt, where a notebook shows it."""
        columns = [str(prompt) for prompt in range(self.prompts)]
        said = f"{self!r}: share of a class's samples that chose a prompt"
        return shaded(said, "class", self.classes, columns, self.frequency)

    @model_validator(mode="after")
    def _shapes_fit(self) -> SelectionResults:
        count = len(self.classes)
        by_class = (self.samples, self.class_entropy, self.frequency, self.similarity)
        by_prompt = (self.usage, *self.frequency, *self.similarity)
        fits = all(len(rows) == count for rows in by_class)
        if not fits or any(len(row) != self.prompts for row in by_prompt):
            raise ValueError(
                f"its arrays do not fit {count} classes × {self.prompts} prompts"
            )
        if len(self.shuffled) not in (0, self.permutations):
            raise ValueError(
                f"it holds {len(self.shuffled)} of {self.permutations} shuffles"
            )
        return self
