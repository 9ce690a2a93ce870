"""A signal may come between any two lines of a step: what is saved then is of complete steps."""

import gc
import sys
import warnings
from pathlib import Path

import pytest
import torch
from plain_model import PlainModel, plain_fit
from ranking_model import RankingModel

import matboard
from matboard.errors import ConfigError, FitError, RunError
from matboard.transfer import fit as fit_module
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Schedule
from matboard.transfer.validation import Validation

PACKAGE = Path(matboard.__file__).parent
STEPS = 3


@pytest.fixture(autouse=True)
def with_gradients():
    """An interrupted ``torch.no_grad()`` leaves them switched off."""
    yield
    torch.set_grad_enabled(True)


# some fits here only give their state
pytestmark = pytest.mark.filterwarnings("ignore:A fit was made:RuntimeWarning")


def momentum():
    return GradientDescent(Schedule(0.01, STEPS, "cosine"))


def interrupted(step, line, place):
    """Call ``step`` and raise KeyboardInterrupt before the ``line``-th line that it runs in a file
    or folder; whether that line was reached.
    """
    reached = 0

    def trace(frame, event, _argument):
        nonlocal reached
        if not frame.f_code.co_filename.startswith(str(place)):
            return None
        if event == "line":
            reached += 1
            if reached == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def validated_fit():
    validation = Validation(share=0.1, every=1, patience=None)
    models = [RankingModel()]
    return plain_fit(STEPS, optimiser=momentum(), models=models, validation=validation)


def unvalidated_fit():
    return plain_fit(STEPS, optimiser=momentum())


def after(steps, make=unvalidated_fit):
    fitting = make()
    for _ in range(steps):
        next(fitting)
    return fitting.state()


def same(state, other):
    if (state.step, state.skipped, state.best) != (
        other.step,
        other.skipped,
        other.best,
    ):
        return False
    if state.tensors.keys() != other.tensors.keys():
        return False
    return all(
        torch.equal(tensor, other.tensors[name])
        for name, tensor in state.tensors.items()
    )


def check_every_line(place, at_least, make=unvalidated_fit):
    """Interrupt the second step before each of its lines, and go on: in the same fit, and in
    another one. Gives the steps that were complete then.
    """
    complete = [after(steps, make) for steps in range(STEPS + 1)]
    learned = make()
    learned.run()
    resumed = set()
    line = 0
    while True:
        line += 1
        fitting = make()
        next(fitting)
        if not interrupted(lambda: next(fitting), line, place):  # noqa: B023
            break
        saved = fitting.state()
        assert same(saved, complete[saved.step]), f"line {line}"
        assert saved.last.index == saved.step
        fitting.run()
        assert same(fitting.state(), complete[3]), f"line {line}"
        assert torch.equal(fitting.prompt.delta, learned.prompt.delta)
        if saved.step not in resumed:
            resumed.add(saved.step)
            other = make()
            other.load_state(saved)
            other.run()
            assert same(other.state(), complete[3])
    assert line > at_least
    return resumed


@pytest.mark.parametrize("make", [unvalidated_fit, validated_fit])
def test_a_signal_inside_a_step_leaves_a_complete_step(make):
    place = PACKAGE / "transfer" / "fit"  # fit.py, and fitting.py
    assert check_every_line(place, at_least=40, make=make) == {1, 2}


def test_a_signal_inside_a_validation_leaves_a_complete_step():
    place = PACKAGE / "transfer" / "validator.py"
    assert check_every_line(place, at_least=15, make=validated_fit) == {1}


@pytest.mark.slow
def test_a_signal_anywhere_inside_a_step_leaves_a_complete_step():
    assert check_every_line(PACKAGE, at_least=200) == {1, 2}


def test_the_prompt_is_that_of_the_last_complete_step_while_a_step_is_made():
    fitting = plain_fit(STEPS)
    next(fitting)
    learned = fitting.prompt.delta.detach().clone()

    class Failing(PlainModel):
        def answer(self, *arguments, **options):
            raise OSError("a picture is broken")

    fitting.models[0].__class__ = Failing
    with pytest.raises(OSError, match="a picture is broken"):
        next(fitting)
    assert fitting.step == 1
    assert torch.equal(fitting.prompt.delta, learned)


def test_a_state_is_a_copy():
    fitting = plain_fit(STEPS, optimiser=momentum())
    next(fitting)
    state = fitting.state()
    kept = {name: tensor.clone() for name, tensor in state.tensors.items()}
    next(fitting)
    assert all(
        torch.equal(state.tensors[name], tensor) for name, tensor in kept.items()
    )


# -- states of other fits


def test_the_state_of_another_fit_is_refused():
    fitting = plain_fit(STEPS, optimiser=momentum())
    next(fitting)
    state = fitting.state()
    with pytest.raises(
        RunError, match=r"The state of another fit came: its tensors are .*velocity"
    ):
        plain_fit(STEPS).load_state(state)
    broadcastable = fit_module.FitState(1, {"delta": torch.zeros(3, 1, 1)})
    with pytest.raises(RunError, match=r"its tensors are \{'delta': \(3, 1, 1\)\}"):
        plain_fit(STEPS).load_state(broadcastable)
    with pytest.raises(
        RunError, match=r"it is at step 1 of a fit of 0|at step 3 of a fit of 2"
    ):
        plain_fit(2, optimiser=GradientDescent(Schedule(1.0, 2))).load_state(after(3))


# -- fits that learn nothing


def test_a_fit_that_is_thrown_away_unstarted_warns():
    with pytest.warns(
        RuntimeWarning, match=r"its prompt has learned nothing\. Iterate it"
    ):
        plain_fit(STEPS)
        gc.collect()


def test_a_fit_that_was_started_resumed_or_refused_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(plain_fit(STEPS))
        plain_fit(STEPS, optimiser=momentum()).load_state(after(3))
        with pytest.raises(ConfigError):
            plain_fit(STEPS, models=[])
        gc.collect()


def test_a_fit_says_how_to_run_it_and_runs():
    fitting = plain_fit(STEPS)
    assert repr(fitting) == "<Fit: 0 of 3 steps; iterate it or call run() to learn>"
    assert [step.index for step in fitting.run()] == [1, 2, 3]
    assert fitting.prompt.delta.abs().sum() > 0


class Broken(PlainModel):
    def answer(self, images, *arguments, **options):
        return super().answer(images * float("nan"), *arguments, **options)


def test_a_fit_whose_every_step_was_skipped_is_an_error_at_its_end():
    fitting = plain_fit(STEPS, models=[Broken()])
    for _ in range(STEPS):
        next(fitting)
    said = r"None of the 3 steps changed the prompt, because no gradient was finite"
    with pytest.raises(FitError, match=said):
        next(fitting)
    resumed = plain_fit(STEPS, models=[Broken()])
    resumed.load_state(fitting.state())
    with pytest.raises(FitError, match=said):
        resumed.run()


def test_one_step_that_counts_is_enough():
    fitting = plain_fit(
        STEPS, models=[Broken()], optimiser=NormalisedGradient(Schedule(1, STEPS))
    )
    next(fitting)
    fitting.models[0].__class__ = PlainModel
    assert [step.skipped for step in fitting.run()] == [1, 1]
