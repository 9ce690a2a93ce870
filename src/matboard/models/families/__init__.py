"""Families of vision-language models, one file each, found by one match.

A family's file holds all that is particular about it: the text around a picture, the fusion of eye
and language model, what its image processors make of a picture. Other packages add families by
the entry-point group ``matboard.models``.
"""

from __future__ import annotations

from typing import Any

from matboard.errors import ModelError
from matboard.models.families.family import Family
from matboard.models.processors import differentiable
from matboard.models.processors.differentiable import WHOLE, Layout
from matboard.registry import Registry

_HERE = "matboard.models.families"

FAMILIES = Registry(
    "family",
    {
        "blip": f"{_HERE}.blip:BLIP",
        "blip2": f"{_HERE}.blip2:BLIP2",
        "florence2": f"{_HERE}.florence2:FLORENCE2",
        "gemma3": f"{_HERE}.gemma3:GEMMA3",
        "git": f"{_HERE}.git:GIT",
        "idefics2": f"{_HERE}.idefics2:IDEFICS2",
        "idefics3": f"{_HERE}.idefics3:IDEFICS3",
        "internvl": f"{_HERE}.internvl:INTERNVL",
        "llama4": f"{_HERE}.llama4:LLAMA4",
        "llava": f"{_HERE}.llava:LLAVA",
        "llava_next": f"{_HERE}.llava_next:LLAVA_NEXT",
        "llava_onevision": f"{_HERE}.llava_next:LLAVA_ONEVISION",
        "mllama": f"{_HERE}.mllama:MLLAMA",
        "paligemma": f"{_HERE}.paligemma:PALIGEMMA",
        "pixtral": f"{_HERE}.pixtral:PIXTRAL",
        "qwen_vl": f"{_HERE}.qwen_vl:QWEN_VL",
        "visualglm": f"{_HERE}.visualglm:VISUALGLM",
    },
    group="matboard.models",
)

UNKNOWN = Family(written=False)
"""What is taken for granted of a model that no family matches."""


def family_of(model: Any) -> Family:
    """The family that a transformers model belongs to; `UNKNOWN` where there is none.

    A family with a further condition comes before one without. Raises ModelError where two match.
    """
    found = {name: FAMILIES.load(name) for name in FAMILIES}
    matching = {name: family for name, family in found.items() if family.matches(model)}
    particular = {
        name: family for name, family in matching.items() if family.where is not None
    }
    chosen = particular or matching
    if len(chosen) > 1:
        raise ModelError(
            f"{type(model).__name__} belongs to {len(chosen)} families at once:"
            f" {', '.join(chosen)}. Uninstall the package that brings the wrong one."
        )
    return next(iter(chosen.values()), UNKNOWN)


def layout_of(image_processor: Any) -> Layout:
    """What an image processor makes of a picture, by its class: families share processors."""
    name = differentiable.short_name(image_processor)
    for family in FAMILIES:
        layouts = FAMILIES.load(family).layouts
        if name in layouts:
            return layouts[name]  # type: ignore[no-any-return]
    return differentiable.LAYOUTS.get(name, WHOLE)
