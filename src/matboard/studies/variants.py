"""Variants of a study: a name, and what it has of its own over the study's settings; with a grid,
one of each for every combination of its values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matboard.continual.build import options_of, resolve, training_options
from matboard.errors import ConfigError, UnknownName
from matboard.studies.config import (
    ContinualConfig,
    FitConfig,
    Learning,
    StudyConfig,
)
from matboard.studies.reading import laid_over, parse
from matboard.transfer import validation
from matboard.transfer.conditions import BASELINES, EVERYWHERE, Where
from matboard.transfer.methods import METHODS, Method
from matboard.transfer.terms import TASK, TERMS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,-]{0,99}")
"""What a variant may be called: its name becomes a part of file names."""
UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
LENGTHS = ("steps", "epochs", "queries")
"""The ways to say how long is learned."""
LONGEST = 60
"""Characters of a model's or a task's name in that of a fit, which names a file (guess)."""
ITSELF = "itself"
"""Name of the variant that is learned on each judged model."""


@dataclass(frozen=True)
class FitVariant:
    """A pixel prompt's settings under a name.

    Attributes:
        where: the only model and the only task that it is learned for.
        base: its name without what a grid adds.
        swept: key of the grid → its value.
    """

    name: str
    settings: FitConfig
    where: Where = EVERYWHERE
    base: str = ""
    swept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What its fits are called: its name, and what it is learned for."""
        named = (self.where.model, self.where.task)
        own = [_word(name)[-LONGEST:] for name in named if name]
        return f"{self.name}@{','.join(own)}" if own else self.name

    def on_task(self, name: str, shown: str) -> FitVariant:
        """The same, learned on another task and for that alone; ``shown`` is its name in tables."""
        task = self.settings.task.model_copy(update={"name": name})
        settings = self.settings.model_copy(update={"task": task})
        where = replace(self.where, task=shown)
        return replace(self, settings=settings, where=where)

    def on_itself(self, model: str) -> FitVariant:
        """The same recipe, learned on one model and for that alone."""
        settings = self.settings.model_copy(update={"sources": [model]})
        where = replace(self.where, model=model)
        return FitVariant(ITSELF, settings, where)


@dataclass(frozen=True)
class LearnerVariant:
    """A continual learner under a name: which one it is, and all its options."""

    name: str
    learner: str
    options: Mapping[str, Any]


def fit_variants(config: StudyConfig) -> list[FitVariant]:
    """The variants of a study of pixel prompts, in its order.

    Raises:
        ConfigError: a name that cannot be a file's, a key or value that is wrong, an unknown
            method.
    """
    base = config.model_dump(include=set(Learning.model_fields))
    judged = {
        "scorer": config.evaluate.scorers[0],
        "batch_size": config.evaluate.batch_size,
    }
    variants = []
    for variant, own in config.methods.items():
        _check_name(variant)
        for name, swept in _combinations(variant, config.grid):
            asked = laid_over(laid_over({"method": variant}, own), swept)
            method = asked["method"]
            if method not in METHODS:
                raise UnknownName("method", str(method), METHODS)
            forms = _forms(
                config.objective, METHODS[method], asked.get("objective", {})
            )
            raw = laid_over({**_without_length(base, asked), "objective": forms}, asked)
            under = f"methods.{variant}"
            raw["validation"] = validation.resolve(
                METHODS[method].validation,
                raw["validation"],
                judged,
                key=f"{under}.{validation.KEY}",
            )
            settings = parse(FitConfig, raw, "", under=under)
            variants.append(FitVariant(name, settings, base=variant, swept=swept))
    return variants


def check_own(config: StudyConfig, variants: Sequence[FitVariant]) -> None:
    """Whether what a study says of tasks and models with prompts of their own fits its variants.

    Raises:
        ConfigError: a task is named elsewhere too, or `itself` names no variant.
    """
    names = [variant.name for variant in variants]
    if config.itself is not None and config.itself not in names:
        raise ConfigError(
            f"itself is {config.itself!r}, which is none of the methods: {', '.join(names)}."
        )
    if not config.tasks:
        return
    if config.evaluate.tasks:
        raise ConfigError(
            "tasks have prompts of their own, each judged on its own task, so evaluate.tasks says"
            " nothing; leave one of the two out."
        )
    named = {"task.name": config.task.name}
    for variant in variants:
        named[f"{variant.name}'s task.name"] = variant.settings.task.name
    for key, name in named.items():
        if name != config.tasks[0]:
            raise ConfigError(
                f"{key} is {name!r}, but prompts are learned on each of tasks"
                f" ({', '.join(config.tasks)}). Leave it out."
            )


def learner_variants(config: ContinualConfig) -> list[LearnerVariant]:
    """The learners of a study over a stream, in its order.

    Raises:
        ConfigError: a name that cannot be a file's, an option that is wrong or that nobody has, a
            reference that is none of them.
    """
    kinds = {
        variant: own.get("learner", variant) for variant, own in config.learners.items()
    }
    _refuse_unused(config, set(kinds.values()))
    variants = []
    for variant, own in config.learners.items():
        _check_name(variant)
        known = options_of(kinds[variant])
        common = {key: value for key, value in config.training.items() if key in known}
        asked = {key: value for key, value in own.items() if key != "learner"}
        grid = {key: values for key, values in config.grid.items() if key in known}
        for name, swept in _combinations(variant, grid):
            options = resolve(kinds[variant], {**common, **asked, **swept})
            variants.append(LearnerVariant(name, kinds[variant], options))
    names = [variant.name for variant in variants]
    if config.reference is not None and config.reference not in names:
        raise ConfigError(
            f"reference is {config.reference!r}, which is none of the learners: {', '.join(names)}."
        )
    return variants


def _combinations(
    variant: str, grid: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A variant's name and settings for every combination of a grid's values; its own name and no
    settings without a grid.
    """
    for values in itertools.product(*grid.values()):
        swept = dict(zip(grid, values, strict=True))
        words = [f"{key}={_word(value)}" for key, value in swept.items()]
        name = f"{variant}@{','.join(words)}" if words else variant
        yield name, swept


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(_word(one) for one in value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return UNSAFE.sub("-", text)


def _check_name(variant: str) -> None:
    if variant in (*BASELINES, ITSELF):
        raise ConfigError(
            f"A variant cannot be called {variant!r}: tables keep that name for a row of their own."
        )
    if not NAME.fullmatch(variant):
        raise ConfigError(
            f"{variant!r} cannot be a variant's name, which becomes part of file names; use"
            " letters, digits, '.', '_', '+', '=', ',' and '-'."
        )


def _without_length(base: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A variant that says how long it learns says it in its own unit."""
    if any(asked.get(key) is not None for key in LENGTHS):
        return {**base, **dict.fromkeys(LENGTHS)}
    return base


def _forms(
    asked: Mapping[str, Any], method: Method, own: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What a study says of its objective, without the forms of terms that this variant does not
    count: those of TVP's terms, say, for a variant of VP.
    """
    kept = {}
    for name, options in asked.items():
        is_form = name in TERMS and name != TASK and "weight" not in (options or {})
        if not is_form or name in method.objective or name in own:
            kept[name] = options
    return kept


def _refuse_unused(config: ContinualConfig, kinds: set[str]) -> None:
    """A setting for all learners that none of them has is a mistake, not a wish."""
    known = dict(training_options())
    for kind in kinds:
        known |= options_of(kind)
    known.pop("seed", None)
    for where, asked in (("training", config.training), ("grid", config.grid)):
        for key in asked:
            if key not in known:
                raise UnknownName(f"key of {where}", key, known)
