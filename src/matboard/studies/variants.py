"""Variants of a study: a name, and what it has of its own over the study's settings; with a grid,
one of each for every combination of its values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matboard.continual.build import options_of, resolve, training_options
from matboard.errors import ConfigError, UnknownName
from matboard.studies.config import ContinualConfig, FitConfig, Learning, StudyConfig
from matboard.studies.reading import laid_over, parse
from matboard.transfer.conditions import BASELINES
from matboard.transfer.methods import METHODS, Method
from matboard.transfer.terms import TASK, TERMS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,@-]{0,99}")
"""What a variant may be called: its name becomes a part of file names."""
UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class FitVariant:
    """A pixel prompt's settings under a name."""

    name: str
    settings: FitConfig


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
    variants = []
    for name, own, combination in _combined(config.methods, config.grid):
        if name in BASELINES:
            raise ConfigError(
                f"A variant cannot be called {name!r}: that is a baseline's name in every table."
            )
        overlay = laid_over({"method": name.partition("@")[0]}, own)
        own = laid_over(overlay, combination)
        if own["method"] not in METHODS:
            raise UnknownName("method", str(own["method"]), METHODS)
        forms = _forms(config.objective, METHODS[own["method"]], own.get("objective", {}))
        raw = laid_over({**base, "objective": forms}, own)
        settings = parse(FitConfig, raw, "", under=f"methods.{name.partition('@')[0]}")
        variants.append(FitVariant(name, settings))
    return variants


def _forms(asked: Mapping[str, Any], method: Method, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a study says of its objective, without the forms of terms that this variant does not
    count: those of TVP's terms, say, for a variant of VP.
    """
    kept = {}
    for name, options in asked.items():
        form_only = name in TERMS and name != TASK and "weight" not in (options or {})
        if not form_only or name in method.objective or name in own:
            kept[name] = options
    return kept


def learner_variants(config: ContinualConfig) -> list[LearnerVariant]:
    """The learners of a study over a stream, in its order.

    Raises:
        ConfigError: a name that cannot be a file's, an option that is wrong or that nobody has, a
            reference that is none of them.
    """
    kinds = {name: str(own.get("learner", name)) for name, own in config.learners.items()}
    _refuse_unused(config, set(kinds.values()))
    variants = []
    for name, own, combination in _combined(config.learners, config.grid):
        kind = kinds[name.partition("@")[0]]
        asked = {key: value for key, value in own.items() if key != "learner"}
        known = options_of(kind)
        common = {key: value for key, value in config.training.items() if key in known}
        swept = {key: value for key, value in combination.items() if key in known}
        if combination and not swept:
            name = name.partition("@")[0]
        options = resolve(kind, {**common, **asked, **swept})
        variants.append(LearnerVariant(name, kind, options))
    found = list({variant.name: variant for variant in variants}.values())
    if config.reference is not None and config.reference not in {v.name for v in found}:
        names = ", ".join(variant.name for variant in found)
        raise ConfigError(
            f"reference is {config.reference!r}, which is none of the learners: {names}."
        )
    return found


def _combined(
    variants: Mapping[str, Mapping[str, Any]], grid: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, Mapping[str, Any], dict[str, Any]]]:
    """(name, own settings, combination of the grid) of each variant."""
    for name, own in variants.items():
        if not NAME.fullmatch(name) or "@" in name:
            raise ConfigError(
                f"{name!r} cannot be a variant's name, which becomes part of file names; use"
                " letters, digits, '.', '_', '+', '=', ',' and '-'."
            )
        for values in itertools.product(*grid.values()):
            combination = dict(zip(grid, values, strict=True))
            words = [f"{key}={_word(value)}" for key, value in combination.items()]
            yield (f"{name}@{','.join(words)}" if words else name), own, combination


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(_word(one) for one in value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return UNSAFE.sub("-", text)


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
