"""From a learner's name and options to the learner."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

from matboard.continual.eye import FrozenEye
from matboard.continual.l2p import PRESETS
from matboard.continual.learner import Learner
from matboard.continual.training import Seed, Training
from matboard.errors import UnknownName
from matboard.registry import Registry, check_options

LEARNERS = Registry(
    "learner",
    {
        "l2p": "matboard.continual.l2p:l2p",
        "image-prompt": "matboard.continual.image_prompts:image_prompts",
        "image-vae": "matboard.continual.image_vae:image_vae",
        "cls-vae": "matboard.continual.cls_vae:cls_vae",
        "generator-pool": "matboard.continual.generator_pool:generator_pool",
        "generator-pool-lwf": "matboard.continual.generator_pool:generator_pool",
        "residual-generator": "matboard.continual.residual_generator:residual_generator",
        "fine-tune": "matboard.continual.fine_tune:FineTunedHead",
        "class-means": "matboard.continual.class_means:ClassMeans",
        "ridge": "matboard.continual.ridge:Ridge",
        "rp-ridge": "matboard.continual.ridge:Ridge",
    },
    group="matboard.learners",
)
DEFAULTS: dict[str, dict[str, Any]] = {
    "generator-pool-lwf": {"distillation": 1.0},  # λ_o of the LwF paper
    "residual-generator": {"head": "ridge-both", "adapt": 1},
    "rp-ridge": {"projection": 2000},  # RanPAC: 10,000
}
"""Options that a name stands for, over the defaults of what it builds."""

CONTROLS = ("class-means", "ridge", "rp-ridge")
"""Learners that train no prompt; they stand in every table."""


def build_learner(
    name: str, eye: FrozenEye, classes: int, *, seed: int = 0, **options: Any
) -> Learner:
    """A learner by name.

    Args:
        classes: of the whole stream.
        options: keywords of what the name builds, fields of `Training`, and for ``l2p`` a
            ``preset``, over which the others are laid.

    Raises:
        UnknownName: no such learner, option or preset.
        ConfigError: an option whose value is not of its kind or range; what the learner itself
            refuses.
    """
    checked = check_options({"seed": seed}, {"seed": Seed}, f"learner {name!r}")
    arguments = _arguments(name, {**resolve(name, options), **checked})
    learner: Learner = LEARNERS.load(name)(eye, classes, **arguments)
    return learner


def resolve(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the name's defaults and the preset's values filled in, checked. Raises like
    `build_learner`.
    """
    asked = dict(options)
    preset: dict[str, Any] = {}
    if name == "l2p":
        chosen = asked.pop("preset", "honest")
        if chosen not in PRESETS:
            raise UnknownName("preset of l2p", str(chosen), PRESETS)
        preset = PRESETS[chosen]
    schema = dict(options_of(name))
    schema.pop("seed", None)
    if name == "l2p":
        schema["preset"] = str
    merged = {**DEFAULTS.get(name, {}), **preset, **asked}
    return check_options(merged, schema, f"learner {name!r}")


@cache
def options_of(name: str) -> dict[str, Any]:
    """A learner's options and their types: its own keywords, and `Training`'s fields where it
    trains prompts. Raises UnknownName.
    """
    trains = "training" in inspect.signature(LEARNERS.load(name)).parameters
    return {**LEARNERS.options(name), **(_training_types() if trains else {})}


def training_options() -> dict[str, Any]:
    """Options and their types that can be laid under every learner that trains prompts; the others
    take those that they have.
    """
    return {
        option: kind for option, kind in _training_types().items() if option != "seed"
    }


def _training_types() -> dict[str, Any]:
    return get_type_hints(Training, include_extras=True)


def _arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the builder is called with: `Training`'s fields gathered into one."""
    if "training" not in inspect.signature(LEARNERS.load(name)).parameters:
        return dict(options)
    fields = {field.name for field in dataclasses.fields(Training)}
    own = {key: value for key, value in options.items() if key not in fields}
    training = {key: value for key, value in options.items() if key in fields}
    return {**own, "training": Training(**training)}
