"""A model's family is found by one match, whoever brings it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import transformers

from matboard.errors import ModelError
from matboard.models import families
from matboard.models.families import FAMILIES, UNKNOWN, family_of, layout_of
from matboard.models.families.family import Family
from matboard.models.families.llava import LLAVA
from matboard.models.families.pixtral import PIXTRAL
from matboard.models.processors.differentiable import SEQUENCE, WHOLE, Layout
from matboard.models.vlm.fusion import Placed
from matboard.registry import Registry


class NightJarForConditionalGeneration:
    """A model that transformers lacks."""

    config = SimpleNamespace(vision_config=None)


class Perched(Placed):
    """An odd fusion, from the same file as its family."""


NIGHT_JAR = Family(
    models=("NightJarForConditionalGeneration",),
    template="{image} churr {question}",
    fusion=Perched,
    layouts={"NightJar": Layout(lambda processor, images: {"pixel_values": images})},
)
TWIN = Family(models=NIGHT_JAR.models)


def listing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    entries = {name: f"{__name__}:{name}" for name in names}
    monkeypatch.setattr(
        families, "FAMILIES", Registry("family", {**FAMILIES, **entries})
    )


def test_every_family_names_classes_that_transformers_has() -> None:
    claimed: dict[str, str] = {}
    for name in FAMILIES:
        if FAMILIES.package(name) != "matboard":
            continue
        family = FAMILIES.load(name)
        assert isinstance(family, Family) and family.models
        for kind in family.models:
            assert hasattr(transformers, kind)
            if family.where is None:
                assert kind not in claimed, (
                    f"{name} and {claimed.get(kind)} claim {kind}"
                )
                claimed[kind] = name


def test_a_family_of_one_file_brings_text_fusion_and_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = NightJarForConditionalGeneration()
    assert family_of(model) is UNKNOWN
    listing(monkeypatch, "NIGHT_JAR")
    assert family_of(model) is NIGHT_JAR
    assert family_of(model).fusion is Perched

    class NightJarImageProcessorPil:
        pass

    assert layout_of(NightJarImageProcessorPil()) is NIGHT_JAR.layouts["NightJar"]


def test_a_model_derived_from_another_is_of_its_family() -> None:
    class Mine(transformers.LlavaForConditionalGeneration):  # type: ignore[misc]
        def __init__(self, eye: Any) -> None:
            self.__dict__["config"] = SimpleNamespace(vision_config=eye)

    assert family_of(Mine(None)) is LLAVA
    assert family_of(Mine(SimpleNamespace(model_type="pixtral"))) is PIXTRAL


def test_a_model_of_two_families_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch, "NIGHT_JAR", "TWIN")
    sentence = (
        r"^NightJarForConditionalGeneration belongs to 2 families at once: NIGHT_JAR, TWIN\."
        r" Uninstall the package that brings the wrong one\.$"
    )
    with pytest.raises(ModelError, match=sentence):
        family_of(NightJarForConditionalGeneration())


def test_processors_of_no_family_have_layouts_too() -> None:
    assert layout_of(transformers.Siglip2ImageProcessorPil()) is SEQUENCE
    assert layout_of(transformers.ViTImageProcessorPil()) is WHOLE
