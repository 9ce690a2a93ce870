"""What a study asks for: a YAML file plus ``key.sub=value`` words, checked whole before anything
heavy starts.

A *study* learns one prompt for each method and seed, and judges all of them on the same models and
tasks. A single fit is a study of one.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from matboard.errors import ConfigError
from matboard.transfer.methods import METHODS

MethodName = Literal["vp", "evp", "tvp"]
Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptConfig(_Strict):
    """The prompt's form. Defaults are the paper's: a border of 30 on a canvas of 224, learned from
    black.

    ``level`` is the brightness that a border starts from instead, the same everywhere: 0.5 is grey.
    """

    layout: Literal["border", "patch", "full"] = "border"
    size: int = Field(224, gt=1)
    width: int = Field(30, ge=0)
    policy: Literal["crop", "squash", "letterbox"] = "crop"
    resolution: int | None = Field(None, gt=0)
    range: Literal["clamped", "sigmoid", "free"] = "clamped"
    level: float | None = None


class MethodConfig(_Strict):
    """One way of learning. What is left out is the method's own default (``METHODS``)."""

    lr: float | None = Field(None, gt=0)
    optimiser: Literal["gradient_descent", "normalised_gradient"] | None = None
    schedule: Literal["constant", "cosine"] | None = None
    warmup: int | None = Field(None, ge=0)
    diversity: bool | None = None
    norm_scope: Literal["full", "prompt"] | None = None
    consistency_weight: float | None = Field(None, ge=0)
    enrichment_weight: float | None = Field(None, ge=0)


class ObjectiveConfig(_Strict):
    """Forms of the three losses: a preset, and single switches over it (see ``transfer.terms``)."""

    preset: Literal["paper", "authors-code"] = "paper"
    task_form: Literal["sample_sum", "token_mean"] | None = None
    terminator: bool | None = None
    consistency_form: Literal["half_squared", "l2_mean_tokens"] | None = None
    consistency_tap: str | None = None
    consistency_reference: Literal["full", "shrunk"] | None = None
    enrichment_form: Literal["exponential", "scaled_cosine"] | None = None
    temperature: float | None = None


class TaskConfig(_Strict):
    """A task and how much of it is used.

    With ``held_out`` prompts are judged on so large a share of the training samples, which then
    nothing is learned from, and the test part is not touched: this is how learning rates and
    weights are chosen.
    """

    name: str
    train: int | None = Field(None, gt=0)
    test: int | None = Field(None, gt=0)
    seed: int = 0
    held_out: float | None = Field(None, gt=0, lt=1)


class EvaluateConfig(_Strict):
    """What prompts are judged on. Sources are always judged too."""

    models: list[str] = []
    tasks: list[TaskConfig] = []
    scorers: list[Literal["ranking", "generation"]] = ["ranking"]
    batch_size: int = Field(32, gt=0)
    examples: int = Field(8, ge=0)


def _only_tvp() -> dict[MethodName, MethodConfig]:
    return {"tvp": MethodConfig()}


class StudyConfig(_Strict):
    """A whole study. See ``experiments/`` for examples."""

    title: str = ""
    sources: list[str] = Field(min_length=1)
    task: TaskConfig
    guide: str | None = None
    methods: dict[MethodName, MethodConfig] = Field(default_factory=_only_tvp, min_length=1)
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    steps: int = Field(200, gt=0)
    batch_size: int = Field(16, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    prompt: PromptConfig = PromptConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    checkpoint_every: int = Field(25, gt=0)
    diagnose_every: int = Field(10, ge=0)

    @model_validator(mode="after")
    def _distinct(self) -> StudyConfig:
        for name in ("sources", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice: {values}")
        return self


class StreamConfig(_Strict):
    """How a task becomes a stream. Domain-incremental streams name their domains, tasks over the
    same classes.
    """

    kind: Literal["class-incremental", "domain-incremental"] = "class-incremental"
    tasks: int = Field(10, gt=1)
    order: Literal["seeded", "natural"] = "seeded"
    domains: list[str] = []


class BackboneConfig(_Strict):
    """The frozen vision transformer."""

    model: str
    side: int | None = Field(None, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    pixels: Literal["processor", "unit"] = "processor"


class ContinualConfig(_Strict):
    """A study of learners on one stream. See ``experiments/``.

    Attributes:
        learners: a name for the table → options. ``learner`` among them says which learner it is,
            where the name alone does not.
        training: options laid under those of every learner that trains prompts.
        reference: the learner that the others are compared with; the first where None.
    """

    title: str = ""
    task: TaskConfig
    stream: StreamConfig = StreamConfig()
    backbone: BackboneConfig
    learners: dict[str, dict[str, Any]] = Field(min_length=1)
    training: dict[str, Any] = {}
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    reference: str | None = None
    batch_size: int = Field(32, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _bare_names(cls, raw: Any) -> Any:
        """``ridge:`` with nothing behind it is a learner without options."""
        if isinstance(raw, dict) and isinstance(raw.get("learners"), dict):
            return {
                **raw,
                "learners": {name: options or {} for name, options in raw["learners"].items()},
            }
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> ContinualConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds names something twice: {self.seeds}")
        if self.reference is not None and self.reference not in self.learners:
            raise ValueError(
                f"reference is {self.reference!r}, which is none of the learners:"
                f" {', '.join(self.learners)}"
            )
        if (self.stream.kind == "domain-incremental") != bool(self.stream.domains):
            raise ValueError(
                "stream.domains names the tasks of a domain-incremental stream, and of no other"
            )
        return self


def load_config(path: Path, words: Sequence[str] = (), model: type[Model] = StudyConfig) -> Model:  # type: ignore[assignment]
    """Read a YAML file and lay ``key.sub=value`` words over it.

    Raises:
        ConfigError: the file is missing or no YAML mapping, a word has no ``=``, or a key or value
            is wrong; every wrong key is named in full.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path} holds {type(raw).__name__}; expected keys and values, such as 'sources:"
            " [tiny-minigpt4]'."
        )
    for word in words:
        _lay(raw, word)
    return parse(model, raw, str(path))


def parse(model: type[Model], raw: Mapping[str, Any], origin: str) -> Model:
    """Check a mapping against a configuration class. Raises ConfigError that names every wrong key
    and value in full.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(model, dict(e)) for e in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines) + ".") from error


def _lay(raw: dict[str, Any], word: str) -> None:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"{word!r} is no setting; expected key.sub=value, such as steps=100 or prompt.width=20."
        )
    *parents, last = key.split(".")
    place = raw
    for parent in parents:
        below = place.setdefault(parent, {})
        if below is None:
            below = place[parent] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{word!r}: {parent!r} holds {below!r}, which has no keys below it.")
        place = below
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{word!r} is no setting: {value!r} is not valid YAML.") from None


def _explain(model: type[BaseModel], error: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        return f"unknown key {path!r}" + (
            f", did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"
        )
    if error["type"] == "missing":
        return f"key {path!r} is missing"
    came = f" (came: {error['input']!r})" if error["type"] != "value_error" else ""
    return f"{path or 'configuration'}: {error['msg'].removeprefix('Value error, ')}{came}"


def _known(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys that are right at a place of the configuration."""
    for part in location:
        if isinstance(part, int) or part in METHODS:
            continue
        candidates = (
            [model.model_fields[part].annotation, *get_args(model.model_fields[part].annotation)]
            if part in model.model_fields
            else []
        )
        model = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model
        )
    return list(model.model_fields)
