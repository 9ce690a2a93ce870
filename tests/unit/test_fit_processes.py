"""Several processes learn what one does, to the last bit, where the batch has parts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from plain_model import PlainModel, plain_fit

from matboard.errors import ConfigError
from matboard.transfer import terms
from matboard.transfer.optimisers import NormalisedGradient, Schedule
from matboard.transfer.processes import Processes

CODE = terms.objective({"preset": "authors-code"})


class Meeting:
    """Where threads that stand for processes hand each other their tensors."""

    def __init__(self, count):
        self.count = count
        self.brought = [None] * count
        self.barrier = threading.Barrier(count, timeout=20)

    def gather(self, index, tensor):
        self.brought[index] = tensor
        self.barrier.wait()
        gathered = torch.stack(self.brought)
        self.barrier.wait()
        return gathered


class Thread(Processes):
    """One of several processes, played by a thread."""

    def __init__(self, index, meeting):
        super().__init__(index, meeting.count)
        object.__setattr__(self, "meeting", meeting)

    def gather(self, ours):
        return self.meeting.gather(self.index, ours)


def learn(count, **options):
    """What each of ``count`` processes says of its steps, and its learned values."""
    meeting = Meeting(count)

    def one(index):
        processes = Processes() if count == 1 else Thread(index, meeting)
        models = [PlainModel(0), PlainModel(1)]
        fitting = plain_fit(
            5,
            models=models,
            batch_size=8,
            diagnose_every=2,
            processes=processes,
            **options,
        )
        steps = fitting.run()
        facts = [(s.loss, s.losses, s.gradient_norms, s.per_model) for s in steps]
        return facts, fitting.prompt.delta.detach()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize(
    "objective", [terms.objective({}), CODE], ids=["paper", "code"]
)
@pytest.mark.parametrize("count", [2, 4])
def test_with_parts_any_number_of_processes_learns_the_same_bits(count, objective):
    options = {"micro_batch": 2, "objective": objective}
    ((facts, learned),) = learn(1, **options)
    for others_facts, others_learned in learn(count, **options):
        assert torch.equal(others_learned, learned)
        assert others_facts == facts


@pytest.mark.parametrize("rule", ["clip", "normalise"])
def test_what_becomes_of_a_picture_is_decided_over_all_processes(rule):
    def options():
        chosen = NormalisedGradient(Schedule(1.0, 5), per_picture=rule)
        return {"micro_batch": 2, "optimiser": chosen}

    ((_, learned),) = learn(1, **options())
    ((_, summed),) = learn(1, micro_batch=2)
    assert not torch.equal(learned, summed)
    for _, others in learn(4, **options()):
        assert torch.equal(others, learned)


def test_without_parts_they_learn_the_same_up_to_rounding():
    ((_, learned),) = learn(1)
    for _, others in learn(2):
        assert torch.allclose(others, learned, atol=1e-4)


def test_a_mean_over_tokens_is_one_over_all_processes():
    ((facts, _),) = learn(1, objective=CODE)
    for others, _ in learn(2, objective=CODE):
        for mine, theirs in zip(facts, others):
            assert mine[0] == pytest.approx(theirs[0], rel=1e-4)


@pytest.mark.parametrize(
    "objective", [terms.objective({}), CODE], ids=["paper", "code"]
)
def test_parts_change_nothing_but_rounding(objective):
    ((facts, learned),) = learn(1, objective=objective)
    ((in_parts, others),) = learn(1, objective=objective, micro_batch=1)
    assert torch.allclose(others, learned, atol=1e-4)
    assert in_parts[0][0] == pytest.approx(facts[0][0], rel=1e-5)


def test_sums_are_taken_in_the_order_of_the_batch():
    values = [torch.tensor(v) for v in (1e8, 1.0, -1e8, 1.0)]
    one_after_the_other = values[0] + values[1] + values[2] + values[3]
    assert Processes().sum(values) == one_after_the_other
    meeting = Meeting(2)
    with ThreadPoolExecutor(2) as pool:
        halves = [values[0::2], values[1::2]]
        sums = list(pool.map(lambda i: Thread(i, meeting).sum(halves[i]), range(2)))
    assert sums == [one_after_the_other, one_after_the_other]


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(
        ConfigError, match=r"share of 4 samples cannot be cut into parts of 3"
    ):
        plain_fit(micro_batch=3)
    with pytest.raises(
        ConfigError, match=r"cannot be cut into parts of 0; make micro_batch"
    ):
        plain_fit(micro_batch=0)
    with pytest.raises(
        ConfigError, match=r"A batch of 0 cannot be shared by 1 processes"
    ):
        plain_fit(batch_size=0)
