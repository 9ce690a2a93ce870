"""Updates against a loop by hand; schedules at their corners."""

import math

import pytest
import torch

from matboard.errors import ConfigError, UnknownName
from matboard.transfer.methods import METHODS
from matboard.transfer.optimisers import (
    Adam,
    GradientDescent,
    NormalisedGradient,
    Schedule,
    Slope,
    build_optimiser,
)


def test_normalised_gradient_takes_a_step_of_length_lr_against_the_gradient():
    gradient = torch.arange(12.0).reshape(3, 2, 2)
    optimiser = NormalisedGradient(Schedule(2.0, 5), norm_scope="prompt")
    moved = optimiser.update(
        torch.zeros(3, 2, 2), Slope(gradient, gradient), 0, {}
    ).values
    assert moved.norm().item() == pytest.approx(2.0)
    assert torch.allclose(moved, -2 * gradient / gradient.norm())


def test_full_norm_counts_the_picture_too_so_the_step_is_shorter():
    canvas = torch.ones(3, 4, 4)
    gradient = canvas.clone()
    gradient[:, 1:3, 1:3] = 0
    optimiser = NormalisedGradient(Schedule(1.0, 5), norm_scope="full")
    moved = optimiser.update(
        torch.zeros(3, 4, 4), Slope(gradient, canvas), 0, {}
    ).values
    assert moved.norm().item() == pytest.approx((36 / 48) ** 0.5)


def test_momentum_is_torch_sgd():
    ours = torch.ones(3, 2, 2)
    theirs = torch.nn.Parameter(ours.clone())
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    optimiser = GradientDescent(Schedule(0.1, 5))
    memory = optimiser.memory(ours)
    for step in range(4):
        gradient = torch.full((3, 2, 2), float(step + 1))
        update = optimiser.update(ours, Slope(gradient, gradient), step, memory)
        ours = update.values
        memory = update.memory
        theirs.grad = gradient
        reference.step()
    assert torch.allclose(ours, theirs.detach())


def test_adam_is_torch_adam():
    ours = torch.ones(3, 2, 2)
    theirs = torch.nn.Parameter(ours.clone())
    reference = torch.optim.Adam([theirs], lr=0.01)
    optimiser = Adam(Schedule(0.01, 5))
    memory = optimiser.memory(ours)
    for step in range(5):
        gradient = torch.linspace(-2, 3, 12).reshape(3, 2, 2) * (-1) ** step + step
        update = optimiser.update(ours, Slope(gradient, gradient), step, memory)
        ours = update.values
        memory = update.memory
        theirs.grad = gradient
        reference.step()
    assert torch.allclose(ours, theirs.detach(), atol=1e-6)


@pytest.mark.parametrize("optimiser", [Adam, GradientDescent, NormalisedGradient])
def test_an_update_changes_nothing_in_place(optimiser):
    values = torch.ones(3, 2, 2)
    gradient = torch.ones(3, 2, 2)
    chosen = optimiser(Schedule(0.1, 4))
    memory = chosen.memory(values)
    first = chosen.update(values, Slope(gradient, gradient), 0, memory)
    again = chosen.update(values, Slope(gradient, gradient), 0, memory)
    assert torch.equal(values, torch.ones(3, 2, 2))
    assert torch.equal(gradient, torch.ones(3, 2, 2))
    assert torch.equal(first.values, again.values)
    assert first.memory.keys() == memory.keys()


def test_schedules():
    warmed = Schedule(4.0, 10, "constant", warmup=4)
    assert [warmed.at(step) for step in (0, 1, 3, 4, 9)] == [1.0, 2.0, 4.0, 4.0, 4.0]
    cosine = Schedule(4.0, 10, "cosine")
    assert cosine.at(0) == 4.0
    assert cosine.at(5) == pytest.approx(2.0)
    assert 0 < cosine.at(9) < 0.2


def test_wrong_schedules_are_refused():
    for lr in (0, -1.0, math.inf, math.nan):
        with pytest.raises(
            ConfigError, match=rf"lr is {lr}; expected a finite number above 0"
        ):
            Schedule(lr, 10)
    with pytest.raises(
        ConfigError, match=r"A run of 0 steps came; expected at least 1"
    ):
        Schedule(1, 0)
    with pytest.raises(
        ConfigError, match=r"warmup is 11 steps; expected 0 to the run's 10 steps"
    ):
        Schedule(1, 10, warmup=11)


def test_methods_build_their_optimisers():
    vp = METHODS["vp"].build_optimiser(7)
    assert isinstance(vp, GradientDescent)
    assert vp.schedule == Schedule(40.0, 7, "cosine")
    tvp = METHODS["tvp"].build_optimiser(7)
    assert isinstance(tvp, NormalisedGradient)
    assert tvp.norm_scope == "full"
    assert tvp.schedule == Schedule(10.0, 7)


def test_an_option_that_an_optimiser_does_not_have_is_refused():
    schedule = Schedule(1.0, 3)
    with pytest.raises(UnknownName, match=r"'norm_scope'\. Known: momentum"):
        build_optimiser("gradient_descent", schedule, norm_scope="full")
    with pytest.raises(UnknownName, match=r"Unknown optimiser 'lion'"):
        build_optimiser("lion", schedule)
