"""Lower precisions: what they turn is seen at the first batch, and nothing but time is spent."""

import hashlib

import pytest
import torch
from plain_model import PlainModel, plain_fit

from matboard.models.precision import in_float32, is_lower
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks import load_task
from matboard.transfer.fit import Fit
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import NormalisedGradient, Schedule
from matboard.transfer.processes import Processes
from matboard.transfer.rounding import rounding_notes
from matboard.transfer.terms.feature_consistency import FeatureConsistency
from matboard.zoo import load_model


class Turning(PlainModel):
    """In bfloat16 its gradient points elsewhere."""

    def __init__(self, turned=0.0, fails=False):
        super().__init__()
        self.model = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
        self.turned = turned
        self.fails = fails

    def answer(self, images, questions, answers, **options):
        exact = self.model.weight.dtype == torch.float32
        if exact and self.fails:
            raise RuntimeError("no room\nfor it")
        shifted = images if exact else images * (1 - self.turned) + self.turned
        return super().answer(shifted, questions, answers, **options)


def bits(module):
    values = [p.detach().view(torch.int16).numpy() for p in module.parameters()]
    return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()


def test_weights_come_back_bit_for_bit():
    module = torch.nn.Sequential(torch.nn.Linear(9, 9), torch.nn.BatchNorm1d(9))
    module.to(torch.bfloat16)
    before = bits(module)
    with pytest.raises(ValueError, match="in between"), in_float32([module]):
        assert {p.dtype for p in module.parameters()} == {torch.float32}
        assert not is_lower([module])
        raise ValueError("in between")
    assert is_lower([module]) and bits(module) == before
    assert module[1].running_mean.dtype == torch.bfloat16


def test_a_gradient_that_turns_is_said_once():
    fitting = plain_fit(models=[Turning(1.5)])
    with pytest.warns(UserWarning, match="plain-0: in this precision the gradient"):
        first = next(fitting)
    assert -1 <= first.float32_cosine < 0.9
    assert next(fitting).float32_cosine is None
    assert fitting.models[0].model.weight.dtype == torch.bfloat16


def test_a_faithful_one_is_only_logged_and_float32_needs_no_check():
    assert next(plain_fit(models=[Turning()])).float32_cosine == pytest.approx(1)
    assert next(plain_fit()).float32_cosine is None


def test_where_it_cannot_be_checked_learning_goes_on():
    fitting = plain_fit(models=[Turning(fails=True)])
    message = (
        r"could not be compared with float32's \(no room for it\); learning goes on"
    )
    with pytest.warns(UserWarning, match=message):
        assert next(fitting).float32_cosine is None
    assert fitting.run()


def test_a_resumed_fit_learns_the_same_without_the_check():
    task = load_task("scenes-recognition/noise", train=8, test=1)
    model = load_model("tiny-minigpt4", dtype="bfloat16")
    before = bits(model.model)

    def fresh():
        return Fit(
            PixelPrompt(Canvas()),
            [model],
            task,
            objective=Objective(FeatureConsistency(weight=0.1)),
            optimiser=NormalisedGradient(Schedule(4.0, 3)),
            batch_size=4,
            processes=Processes(),
        )

    whole, half, rest = fresh(), fresh(), fresh()
    steps = whole.run()
    assert 0.5 < steps[0].float32_cosine <= 1.001
    next(half)
    rest.load_state(half.state())
    assert [step.float32_cosine for step in rest.run()] == [None, None]
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)
    assert bits(model.model) == before


def test_a_note_where_the_gradient_turned():
    options = {"label": "tvp", "key": "methods.tvp"}
    (note,) = rounding_notes([0.95, None, 0.4], **options)
    assert note == (
        "tvp: in this precision the gradient of the first batch has cosine 0.40 to float32's"
        " (expected 0.9 or more), so steps may go astray. methods.tvp.precision: mixed keeps the"
        " eye in float32; methods.tvp.per_picture: clip or normalise bounds the pictures whose"
        " gradients turn."
    )
    assert rounding_notes([0.95, None], **options) == []
