"""Gradient maps against finite differences and against a derivative worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_model import PlainModel, picture

from matboard.analysis.gradient_maps import gradient_maps, inside, log_likelihood
from matboard.errors import ModelError
from matboard.models.capabilities import Learnable, Ranks
from matboard.tasks.task import Sample
from matboard.zoo import load_model


def samples(*answers: str) -> list[Sample]:
    return [
        Sample(f"s{place}", lambda: picture(0), "what?", answer, ("a", "ab"))
        for place, answer in enumerate(answers)
    ]


class Sums(Learnable, Ranks):
    """Candidates are scored by the sum of the red, and of the green."""

    name = "sums"
    said: str | None = None

    @property
    def refusal(self) -> str | None:
        return self.said

    def candidate_log_likelihoods(self, images, questions, candidates):  # type: ignore[no-untyped-def]
        return images[:, :2].sum(dim=(2, 3))


def test_a_map_is_the_norm_of_the_derivative_worked_out_by_hand() -> None:
    """log p = −length · Σ (x − pattern)², so its derivative is −2 · length · (x − pattern)."""
    model = PlainModel()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    maps = gradient_maps(model, images, samples("a", "ab"))
    by_hand = 2 * (images - model.pattern).norm(dim=1).numpy()
    np.testing.assert_allclose(
        maps, by_hand * np.array([1, 2])[:, None, None], rtol=1e-5
    )


def test_a_model_that_only_ranks_is_asked_among_its_candidates() -> None:
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    model = Sums()
    (likelihood,) = log_likelihood(model, images, samples("a"))
    red, green = images[0, 0].sum(), images[0, 1].sum()
    assert float(likelihood) == pytest.approx(
        float(-torch.log1p((green - red).exp())), abs=1e-5
    )
    wrong = torch.sigmoid(
        green - red
    )  # ∂ log p / ∂ red = 1 − p, ∂ / ∂ green = −(1 − p)
    maps = gradient_maps(model, images, samples("a"))
    np.testing.assert_allclose(maps, float(wrong) * np.sqrt(2), rtol=1e-4)


def test_on_a_real_model_it_agrees_with_finite_differences() -> None:
    model = load_model("tiny-minigpt4")
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    asked = [Sample("s", lambda: picture(0), "What is the shape?", "star")]
    (found,) = gradient_maps(model, images, asked)
    row, column = np.unravel_index(found.argmax(), found.shape)
    slopes = []
    step = 0.02
    with torch.no_grad():
        for channel in range(3):
            ends = []
            for sign in (1, -1):
                moved = images.clone()
                moved[0, channel, row, column] += sign * step
                ends.append(float(log_likelihood(model, moved, asked)[0]))
            slopes.append((ends[0] - ends[1]) / (2 * step))
    assert found[row, column] == pytest.approx(float(np.linalg.norm(slopes)), rel=0.05)


def test_the_share_inside_is_counted_pixel_by_pixel() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 1:3, 1:3] = 1.0
    maps[0, 0] = 2.0
    content = np.zeros((4, 4), bool)
    content[1:3, 1:3] = True
    assert inside(maps, content).tolist() == [4 / 12, 0.0]


def test_a_model_without_a_faithful_gradient_says_so() -> None:
    model = Sums()
    model.said = "No gradient passes."
    with pytest.raises(ModelError, match="No gradient passes"):
        gradient_maps(model, torch.rand(1, 3, 4, 4), samples("a"))
