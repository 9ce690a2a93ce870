"""The cost study counts what it says it counts."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from benchmarks.cost import (
    border,
    kept_bytes,
    lesson,
    measure,
    peak_bytes,
    times,
    ways,
)
from matboard import load_model
from matboard.prompts.canvas import Canvas

CANVAS = Canvas(60, 8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def given():
    return lesson("scenes-recognition", 2, CANVAS)


@pytest.fixture(scope="module")
def all_ways(given):
    return ways("tiny-minigpt4", given, CANVAS, rank=4, tokens=5)


def test_what_is_trainable_is_what_the_formulas_say(all_ways):
    model = load_model("tiny-minigpt4").model
    text = model.config.text_config
    layers, width = text.num_hidden_layers, text.hidden_size
    heads = text.num_key_value_heads * (width // text.num_attention_heads)
    found = {way.name: way.trainable for way in all_ways}
    assert found == {
        "border": 3 * (60**2 - 44**2),
        "prompt tuning": 5 * width,
        "LoRA": layers * 4 * ((width + width) + (width + heads)),
        "full fine-tuning": sum(one.numel() for one in model.parameters()),
    }


def test_every_way_learns_and_only_what_is_its_own(given):
    model = load_model("tiny-minigpt4")
    before = {name: one.clone() for name, one in model.model.named_parameters()}
    way = border(model, given, CANVAS)
    way.step()
    for name, one in model.model.named_parameters():
        assert torch.equal(one, before[name]) and one.grad is None
    assert kept_bytes(way) > 3 * 60 * 60 * 4


def test_costs_are_measured_of_all_in_turns(all_ways):
    weights = all_ways[-1].trainable
    costs = {cost.name: cost for cost in measure(all_ways, 1, weights, 6, CPU)}
    assert costs["border"].over_border == 1
    assert costs["border"].optimiser == 0
    assert costs["full fine-tuning"].share == 1
    for name in ("LoRA", "prompt tuning", "full fine-tuning"):
        cost = costs[name]
        assert 8 * cost.trainable <= cost.optimiser < 8 * cost.trainable + 4096
        assert cost.kept > 4 * cost.trainable
        assert cost.kept_for_all == 6 * cost.kept
    assert costs["border"].kept_for_all == costs["border"].kept
    assert costs["full fine-tuning"].memory > costs["LoRA"].memory > 0


def test_the_most_bytes_of_a_step_are_counted():
    kept = []

    def step():
        kept.append(torch.ones(250_000))  # a megabyte that stays
        for _ in range(3):
            passing = torch.ones(500_000)  # two that go, one after the other
            del passing

    assert peak_bytes(step, CPU) == pytest.approx(3_000_000, rel=0.01)


def test_ways_take_turns():
    class Way:
        def __init__(self, name):
            self.name = name

        def step(self):
            order.append(self.name)

    order: list[str] = []
    taken = times([Way("a"), Way("b")], rounds=2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert [len(taken[name]) for name in "ab"] == [2, 2]
