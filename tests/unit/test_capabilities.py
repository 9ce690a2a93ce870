"""What a model can do is asked for, and what it lacks is said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.capabilities import (
    ABILITIES,
    Answers,
    FrozenModel,
    Generates,
    HasFeatures,
    Learnable,
    Ranks,
    VisionLanguageModel,
    require,
)

PICTURE = Image.new("RGB", (4, 4))


class Api(Generates):
    """A closed model behind an API: it only answers."""

    def __init__(self) -> None:
        self.name = "closed"

    def generate(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[str],
        *,
        max_new_tokens: int = 16,
    ) -> list[str]:
        return [f"{question} yes" for question in questions]


class Clip(Ranks):
    """A dual encoder: it only compares."""

    def __init__(self) -> None:
        self.name = "clip"
        self.encoder = "0123456789ab"

    def candidate_log_likelihoods(
        self,
        images: Sequence[Image.Image],
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Tensor:
        return torch.zeros(len(images), len(candidates[0]))


class Whole(Api, Clip, VisionLanguageModel):
    """Everything."""

    taps = ("vision", "projector")

    def answer(
        self, images: object, questions: object, answers: object, **_: object
    ) -> Answers:
        return Answers(torch.zeros(1), torch.ones(1, dtype=torch.long))

    def visual_features(
        self, images: object, tap: str, questions: object = None
    ) -> Tensor:
        return torch.zeros(1, 1, 1)


def test_a_model_behind_an_api_needs_to_generate_and_nothing_else() -> None:
    model = Api()
    assert require(model, Generates, doing="judging by generation") is model
    assert model.generate([PICTURE], ["a cat?"]) == ["a cat? yes"]
    assert model.encoder == "", "nobody knows what eye it has"


def test_a_dual_encoder_needs_to_rank_and_nothing_else() -> None:
    model = require(Clip(), Ranks, doing="judging by ranking")
    assert model.candidate_log_likelihoods([PICTURE], ["?"], [["a", "b"]]).shape == (
        1,
        2,
    )


@pytest.mark.parametrize(
    ("model", "ability", "sentence"),
    [
        (
            Api(),
            Ranks,
            "closed (Api) cannot rank candidate answers, which doing it needs.",
        ),
        (
            Api(),
            Learnable,
            "closed (Api) cannot give a gradient to the pixels, which doing it",
        ),
        (
            Clip(),
            Generates,
            "clip (Clip) cannot generate answers, which doing it needs.",
        ),
        (
            Clip(),
            HasFeatures,
            "clip (Clip) cannot show its visual features, which doing it needs.",
        ),
    ],
)
def test_what_a_model_lacks_is_said(
    model: FrozenModel, ability: type[FrozenModel], sentence: str
) -> None:
    with pytest.raises(ModelError) as refused:
        require(model, ability, doing="doing it")
    assert str(refused.value).startswith(sentence)


def test_the_sentence_says_what_the_model_can_do() -> None:
    with pytest.raises(ModelError, match=r"It can generate answers\.$"):
        require(Api(), Ranks, doing="judging by ranking")

    class Nothing(FrozenModel):
        name = "empty"

    with pytest.raises(ModelError, match=r"It can nothing\.$"):
        require(Nothing(), Ranks, doing="judging by ranking")


def test_an_open_vision_language_model_has_every_ability() -> None:
    model = Whole()
    for ability in ABILITIES:
        assert require(model, ability, doing="anything") is model
    assert model.refusal is None


def test_half_a_model_cannot_be_made() -> None:
    class Half(Ranks):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]
