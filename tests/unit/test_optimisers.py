"""Updates against a loop by hand; schedules at their corners."""

import pytest
import torch

from matboard.errors import ConfigError
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Schedule


def test_normalised_gradient_takes_a_step_of_length_lr_against_the_gradient():
    values = torch.zeros(3, 2, 2)
    gradient = torch.arange(12.0).reshape(3, 2, 2)
    NormalisedGradient(Schedule(2.0, 5), "prompt").update(values, gradient, gradient, 0)
    assert values.norm().item() == pytest.approx(2.0)
    assert torch.allclose(values, -2 * gradient / gradient.norm())


def test_full_norm_counts_the_picture_too_so_the_step_is_shorter():
    canvas = torch.ones(3, 4, 4)
    gradient = canvas.clone()
    gradient[:, 1:3, 1:3] = 0
    values = torch.zeros_like(canvas)
    NormalisedGradient(Schedule(1.0, 5), "full").update(values, gradient, canvas, 0)
    assert values.norm().item() == pytest.approx((36 / 48) ** 0.5)


def test_momentum_is_torch_sgd():
    ours = torch.ones(3, 2, 2)
    theirs = torch.nn.Parameter(ours.clone())
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    optimiser = GradientDescent(Schedule(0.1, 5))
    for step in range(4):
        gradient = torch.full((3, 2, 2), float(step + 1))
        optimiser.update(ours, gradient, gradient, step)
        theirs.grad = gradient
        reference.step()
    assert torch.allclose(ours, theirs.detach())


def test_momentum_goes_on_from_its_state():
    gradient = torch.ones(3, 2, 2)
    whole, halves = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    one = GradientDescent(Schedule(0.1, 4))
    for step in range(4):
        one.update(whole, gradient, gradient, step)
    first, second = GradientDescent(Schedule(0.1, 4)), GradientDescent(Schedule(0.1, 4))
    for step in range(2):
        first.update(halves, gradient, gradient, step)
    second.load_state(first.state())
    for step in range(2, 4):
        second.update(halves, gradient, gradient, step)
    assert torch.equal(whole, halves)


def test_schedules():
    assert [Schedule(4.0, 10, "constant", warmup=4).at(s) for s in (0, 1, 3, 4, 9)] == [
        1.0,
        2.0,
        4.0,
        4.0,
        4.0,
    ]
    cosine = Schedule(4.0, 10, "cosine")
    assert cosine.at(0) == 4.0
    assert cosine.at(5) == pytest.approx(2.0)
    assert 0 < cosine.at(9) < 0.2


def test_wrong_schedules_are_refused():
    with pytest.raises(ConfigError, match=r"lr is 0; expected a number above 0"):
        Schedule(0, 10)
    with pytest.raises(ConfigError, match=r"warmup is 11 steps; expected 0 to the run's 10 steps"):
        Schedule(1, 10, warmup=11)
