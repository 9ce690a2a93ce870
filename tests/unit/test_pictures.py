"""What becomes of each picture's gradient, by hand and against the naive way."""

import pytest
import torch
from plain_model import PlainModel, plain_fit

from matboard.transfer.balance import outlier_notes
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Schedule
from matboard.transfer.pictures import PictureRule, outlier_share

LENGTHS = torch.tensor([1.0, 4.0, 2.0, 100.0])
MASK = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
RULES = ("sum", "clip", "normalise")


def test_lengths_are_taken_over_the_prompts_own_pixels():
    gradients = torch.full((2, 3, 2, 2), 7.0)
    gradients[0, :, 0, 0] = torch.tensor([2.0, 3.0, 6.0])
    gradients[1, :, 0, 0] = 0
    assert PictureRule("sum", MASK).norms(gradients).tolist() == [7.0, 0.0]


def test_weights_by_hand():
    assert PictureRule("sum", MASK).weights(LENGTHS) is None
    clipped = PictureRule("clip", MASK).weights(LENGTHS) * LENGTHS
    assert clipped.tolist() == pytest.approx([1, 3, 2, 3])
    unit = PictureRule("normalise", MASK).weights(LENGTHS) * LENGTHS
    assert unit.tolist() == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize("rule", ["clip", "normalise"])
def test_a_picture_without_a_gradient_stays_without(rule):
    lengths = torch.tensor([0.0, 0.0, 3.0])
    weights = PictureRule(rule, MASK).weights(lengths)
    assert weights.isfinite().all() and (weights * lengths)[0] == 0


def test_the_outliers_share_by_hand():
    assert outlier_share(torch.tensor([[3.0, 0.0], [4.0, 0.0]])) == pytest.approx(0.64)
    assert outlier_share(torch.tensor([5.0])) is None
    assert outlier_share(torch.zeros(3)) is None
    assert outlier_share(torch.tensor([1.0, torch.nan])) is None
    assert outlier_share(torch.tensor([1.0, torch.inf])) is None


def naive_gradient(fitting, rule):
    """Picture by picture: the mean over models, weighted, summed."""
    batch = fitting.batches.at(0)
    canvases = fitting.prompt(batch.images).detach()
    pictures = []
    for i in range(len(canvases)):
        leaf = canvases[i : i + 1].requires_grad_()
        asked = (batch.questions[i : i + 1], batch.answers[i : i + 1])
        losses = [m.answer_loss(leaf, *asked).sum() for m in fitting.models]
        loss = sum(losses) / len(losses) / len(canvases)
        pictures.append(torch.autograd.grad(loss, leaf)[0][0])
    lengths = [(p * fitting.prompt.mask).norm().item() for p in pictures]
    middle = (sorted(lengths)[3] + sorted(lengths)[4]) / 2
    factor = {
        "sum": lambda _: 1.0,
        "clip": lambda length: min(1.0, middle / length),
        "normalise": lambda length: 1 / length,
    }[rule]
    weighted = [p * factor(length) for p, length in zip(pictures, lengths)]
    energies = [length**2 for length in lengths]
    return torch.stack(weighted).sum(0), max(energies) / sum(energies)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_step_is_what_the_naive_way_gives(rule, micro_batch):
    optimiser = GradientDescent(Schedule(1e-3, 1), per_picture=rule)
    fitting = plain_fit(
        models=[PlainModel(0), PlainModel(1)],
        optimiser=optimiser,
        batch_size=8,
        micro_batch=micro_batch,
    )
    gradient, share = naive_gradient(fitting, rule)
    step = next(fitting)
    moved = (-1e-3 * gradient * fitting.prompt.mask).clamp(0, 1)
    assert moved.abs().max() > 0
    assert torch.allclose(fitting.prompt.delta.detach(), moved, atol=1e-6)
    assert step.gradient_norms["total"] == pytest.approx(gradient.norm().item(), 1e-5)
    assert step.outlier_share == pytest.approx(share, rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_taken_apart_the_terms_are_weighted_like_their_sum(rule):
    optimiser = NormalisedGradient(Schedule(1.0, 2), per_picture=rule)
    step = next(plain_fit(optimiser=optimiser, batch_size=8, diagnose_every=1))
    norms = step.gradient_norms
    assert norms["task_loss"] == pytest.approx(norms["total"], rel=1e-6)


@pytest.mark.parametrize("rule", ["clip", "normalise"])
def test_resume_is_exact(rule):
    def fresh():
        optimiser = NormalisedGradient(Schedule(1.0, 4), per_picture=rule)
        return plain_fit(optimiser=optimiser, micro_batch=2)

    whole, half, rest = fresh(), fresh(), fresh()
    whole.run()
    next(half)
    next(half)
    rest.load_state(half.state())
    rest.run()
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)


def test_a_note_where_one_picture_decides_most_steps():
    options = {"label": "tvp", "key": "methods.tvp"}
    (note,) = outlier_notes([0.95, None, 0.99, 0.3], **options)
    assert note == (
        "tvp: in most steps one picture of the batch holds more than 90% of the gradient's energy"
        " (median 0.95 over logged steps), so the others hardly count; methods.tvp.per_picture:"
        " clip bounds every picture at the batch's median."
    )
    assert outlier_notes([0.95, 0.3, 0.2], **options) == []
    assert outlier_notes([None], **options) == []
