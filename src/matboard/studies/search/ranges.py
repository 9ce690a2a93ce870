"""What a search varies: a study in YAML, and under ``search`` a range for each of some of its keys.

search:
  methods.tvp.lr: {low: 1, high: 100, log: true}
  methods.tvp.objective.feature_consistency.weight: {low: 1.0e-5, high: 1.0e-1, log: true}
  prompt.width: {low: 10, high: 50, step: 10}
  methods.tvp.diversity: {values: [true, false]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from matboard.errors import ConfigError
from matboard.studies.config import Learning, StudyConfig
from matboard.studies.reading import laid_over, parse
from matboard.studies.variants import FitVariant, fit_variants
from matboard.transfer import validation

Value: TypeAlias = bool | int | float | str | None


class Range(BaseModel):
    """Which values a key may have: those from ``low`` to ``high``, or some by name.

    Attributes:
        log: whether all orders of magnitude are as likely.
        step: from one value to the next; whole numbers where low, high and step are whole. None:
            any number between.
        values: the only ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | None = Field(None, allow_inf_nan=False)
    high: float | None = Field(None, allow_inf_nan=False)
    log: bool = False
    step: float | None = Field(None, gt=0, allow_inf_nan=False)
    values: tuple[Value, ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        if self.values is not None:
            if self.model_fields_set - {"values"}:
                raise ValueError("give values, or low and high, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or values")
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g}, which is not below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and goes without step")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        ends = (self.low, self.high, self.step)
        return all(end is not None and float(end).is_integer() for end in ends)

    @property
    def ends(self) -> tuple[Value, ...]:
        """Its first and last value, or all of those by name."""
        if self.values is not None:
            return self.values
        assert self.low is not None and self.high is not None
        kind = int if self.whole else float
        return kind(self.low), kind(self.high)


@dataclass(frozen=True)
class Tuned:
    """What a search learns with some values.

    Attributes:
        scored: ``best``: the best validation score counts, as validation keeps the best prompt;
            ``last``: the study has no validation, so all steps are made and the last score counts.
    """

    variant: FitVariant
    scored: Literal["best", "last"]


class SearchConfig(StudyConfig):
    """A study of one variant, and the ranges of what is searched."""

    search: dict[str, Range] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _dotted(cls, raw: Any) -> Any:
        """``search: {prompt: {width: RANGE}}`` is ``search: {prompt.width: RANGE}``."""
        ranges = raw.get("search") if isinstance(raw, dict) else None
        if not isinstance(ranges, dict):
            return raw
        return {**raw, "search": dict(_flat(ranges))}

    @model_validator(mode="after")
    def _searchable(self) -> SearchConfig:
        try:
            self._check()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    def with_values(self, values: Mapping[str, Value]) -> StudyConfig:
        """The study with values of its searched keys. Raises ConfigError."""
        base = self.model_dump(mode="json", exclude={"search", "executor"})
        return parse(StudyConfig, _laid(base, values), "")

    def best(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """What was written of the study, with values of its searched keys: a configuration of its
        own.
        """
        base = self.model_dump(mode="json", exclude={"search"}, exclude_unset=True)
        return _laid(base, values)

    def tuned(self, values: Mapping[str, Value]) -> Tuned:
        """The variant with values of its searched keys, validated while it learns."""
        config = self.with_values(values)
        (found,) = fit_variants(config)
        if found.settings.validation is not None:
            return Tuned(found, "best")
        judged = {
            "scorer": config.evaluate.scorers[0],
            "batch_size": config.evaluate.batch_size,
        }
        watched = validation.resolve({}, {"patience": None}, judged)
        settings = found.settings.model_copy(update={"validation": watched})
        return Tuned(FitVariant(found.name, settings), "last")

    @property
    def ends(self) -> Iterator[dict[str, Value]]:
        """Values at the ends of the ranges: all first ones, with each other one in turn."""
        start = {key: asked.ends[0] for key, asked in self.search.items()}
        yield start
        for key, asked in self.search.items():
            for end in asked.ends[1:]:
                yield {**start, key: end}

    def _check(self) -> None:
        """Refuse before anything starts what no trial could be made of. Raises ConfigError."""
        for key in self.search:
            first = key.partition(".")[0]
            if first != "methods" and first not in Learning.model_fields:
                raise ConfigError(
                    f"search names {key!r}, which does not change how a prompt is learned; give"
                    " keys such as lr, prompt.width or methods.NAME.lr."
                )
        for values in self.ends:
            self._check_one(self.with_values(values))
        if self.itself is not None:
            raise ConfigError("a search learns on the sources alone; leave out itself.")
        if self.tracking:
            raise ConfigError(
                "a search keeps its trials itself, and its report shows them; leave out tracking."
            )

    def _check_one(self, config: StudyConfig) -> None:
        names = [variant.name for variant in fit_variants(config)]
        if len(names) > 1:
            raise ConfigError(
                f"a search tunes one variant, but the study has {len(names)}: {', '.join(names)}."
                f" Keep one: 'methods={{{names[0]}: {{}}}}'."
            )


def _flat(ranges: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, below in ranges.items():
        name = f"{above}{key}"
        if isinstance(below, Mapping) and below.keys().isdisjoint(Range.model_fields):
            yield from _flat(below, f"{name}.")
        else:
            yield name, below


def _laid(base: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """Values over a study whose variants' keys are nested, so that none stands there twice."""
    nested = dict(base)
    if "methods" in base:
        own = base["methods"].items()
        nested["methods"] = {name: laid_over({}, settings) for name, settings in own}
    return laid_over(nested, values)
