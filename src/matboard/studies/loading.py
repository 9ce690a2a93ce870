"""Tasks and models of a study, loaded when they are first needed and once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeAlias

from pydantic import BaseModel

from matboard import zoo
from matboard.errors import ConfigError, TaskError
from matboard.extras import require
from matboard.models.capabilities import FrozenModel, Guide
from matboard.models.devices import device_of, precision_of
from matboard.models.endpoint_name import is_endpoint
from matboard.studies.config import ModelConfig, TaskConfig
from matboard.tasks import Request, load_task
from matboard.tasks.task import Task

TRUST = "trust_remote_code"
"""The option of models whose own code may run: what they are, that code alone knows."""
Bases: TypeAlias = dict[Request, Task]
"""Tasks that corrupted ones are made of."""


@dataclass
class Models:
    """Models by name and precision. Sources and guides stay; targets are loaded one at a time, and
    so are visitors, the models that only prompts of their own are learned on.

    Args:
        asked: name → what a model of that name is loaded with, where that is said.
        device: where all of them run; a GPU where there is one, if None.
    """

    asked: Mapping[str, ModelConfig] = field(default_factory=dict)
    device: str | None = None
    _kept: dict[tuple[str, str], FrozenModel] = field(default_factory=dict)
    _visitor: dict[tuple[str, str], FrozenModel] = field(default_factory=dict)
    _guides: dict[tuple[str, str], Guide] = field(default_factory=dict)

    def source(self, name: str, precision: str) -> FrozenModel:
        """A model that prompts are learned on."""
        key = name, precision
        if key not in self._kept:
            self._kept[key] = self._load(name, precision)
        return self._kept[key]

    def visitor(self, name: str, precision: str) -> FrozenModel:
        """A model that prompts are learned on until the next one comes."""
        key = name, precision
        if key in self._kept:
            return self._kept[key]
        if key not in self._visitor:
            self._visitor.clear()
            self._visitor[key] = self._load(name, precision)
        return self._visitor[key]

    def settings(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What decides how models answer, beside their names, where anything does."""
        told = {name: self.asked[name] for name in names if name in self.asked}
        how = {"device_map", "concurrency", "timeout", "retries"}
        return {
            name: {
                key: value
                for key, value in one.model_dump(exclude=how).items()
                if value is not None
            }
            for name, one in told.items()
        }

    def is_closed(self, name: str) -> bool:
        """Whether a model is behind an API."""
        return is_endpoint(self._place(name))

    def look_up(self, names: Sequence[str], guides: Sequence[str]) -> None:
        """Refuse, before anything is learned, models and guides that cannot be had.

        Raises:
            ConfigError: the same model twice.
            ModelError, UnknownName: it cannot be had.
            MissingExtra: weights are to be quantised, and bitsandbytes is not installed.
        """
        if any(self._options(name).get("quantise") for name in names):
            require("bitsandbytes")
        found: dict[str, str] = {}
        for name in names:
            content = f"{zoo.resolve(self._place(name))} {self._options(name)}"
            if content in found:
                raise ConfigError(
                    f"{found[content]!r} and {name!r} are the same model; name it once."
                )
            found[content] = name
        own_code = {name for name in names if self._options(name).get(TRUST)}
        listed = [self._place(name) for name in names if name not in own_code]
        zoo.look_up([*listed, *guides])

    def guide(self, name: str, precision: str) -> Guide:
        """An image-text model that prompts are steered by."""
        key = name, precision
        if key not in self._guides:
            self._guides[key] = zoo.load_guide(
                name, dtype=precision, device=self.device
            )
        return self._guides[key]

    def judged(self, names: Sequence[str], precision: str) -> Iterator[FrozenModel]:
        """Every model to be judged on; besides those kept, one in memory at a time."""
        for name in names:
            kept = self._kept.get((name, precision))
            yield kept or self._load(name, precision)

    def _load(self, name: str, precision: str) -> FrozenModel:
        place = self._place(name)
        options = {"dtype": precision, "device": self.device, **self._options(name)}
        loaded = zoo.load_model(place, **options)
        loaded.name = name
        return loaded

    def _place(self, name: str) -> str:
        told = self.asked.get(name)
        return name if told is None or told.model is None else told.model

    def _options(self, name: str) -> dict[str, Any]:
        told = self.asked.get(name)
        return {} if told is None else told.options


def with_options(
    asked: Mapping[str, ModelConfig], names: Sequence[str], given: ModelConfig
) -> dict[str, ModelConfig]:
    """What models are loaded with, where something is given for all of them; limits of cost are for
    those behind an API.
    """
    for_all = given.model_dump(exclude_none=True)
    told = {}
    for name in names if given.options else ():
        own = asked.get(name, ModelConfig())
        limits = given.cost if is_endpoint(own.model or name) else {}
        told[name] = own.model_copy(update=for_all | limits)
    return {**asked, **told}


def defaults_of(kind: type[BaseModel], device: str | None) -> dict[str, Any]:
    """What a study has of the device where it says nothing itself. Raises ConfigError."""
    if "precision" not in kind.model_fields:
        return {}
    return {"precision": precision_of(device_of(device))}


def load(config: TaskConfig, bases: Bases | None = None) -> Task:
    """A task as a study asks for it; ``bases`` as in `load_task`. Raises TaskError, UnknownName."""
    bases = {} if bases is None else bases
    task = _drawn(config, config.train, config.test, bases)
    if config.held_out is not None:
        return task.validation_split(config.held_out, config.seed)[1]
    if not config.skip:
        return task
    most = None if config.test is None else config.test + config.skip
    # a smaller draw is the beginning of a larger one
    passed = {sample.id for sample in _drawn(config, 1, config.skip, bases).test}
    drawn = _drawn(config, config.train, most, bases).test
    left = tuple(sample for sample in drawn if sample.id not in passed)
    if not left:
        raise TaskError(
            f"Task {config.name!r} has {len(drawn)} test samples, of which skip passes over all;"
            f" make skip, now {config.skip}, smaller."
        )
    return replace(task, test=left)


def _drawn(
    config: TaskConfig, train: int | None, test: int | None, bases: Bases
) -> Task:
    return load_task(config.name, train=train, test=test, seed=config.seed, bases=bases)


def load_distinct(configs: Sequence[TaskConfig]) -> list[Task]:
    """Tasks whose names differ: those that would be called alike are called by more of their path
    (``a/test`` and ``b/test``), or by their seed. Raises like `load`.
    """
    bases: Bases = {}
    tasks = [load(config, bases) for config in configs]
    named = []
    for task, config in zip(tasks, configs, strict=True):
        alike = [other for other in tasks if other.name == task.name]
        named.append(
            task if len(alike) == 1 else replace(task, name=_longer(config, configs))
        )
    return named


def _longer(config: TaskConfig, configs: Sequence[TaskConfig]) -> str:
    """The shortest end of its path that no other task's path has."""
    others = [other.name for other in configs if other.name != config.name]
    parts = PurePath(config.name).with_suffix("").parts
    for length in range(1, len(parts) + 1):
        ending = parts[-length:]
        paths = [PurePath(other).with_suffix("").parts for other in others]
        if all(path[-length:] != ending for path in paths):
            same = [other for other in configs if other.name == config.name]
            return "/".join(ending) + (
                f" (seed {config.seed})" if len(same) > 1 else ""
            )
    return config.name
