"""The three losses against loops written from the paper's equations, and by hand."""

import math

import pytest
import torch

from matboard.errors import ConfigError
from matboard.transfer.objectives import (
    PRESETS,
    Objective,
    feature_consistency,
    semantic_enrichment,
    task_loss,
    task_units,
)


def features(seed):
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_consistency_is_half_the_squared_distance_of_eq_4():
    prompted, clean = features(0), features(1)
    expected = sum(
        0.5 * (a - b) ** 2 for a, b in zip(prompted.flatten().tolist(), clean.flatten().tolist())
    )
    assert float(feature_consistency(prompted, clean, "half_squared")) == pytest.approx(
        expected, rel=1e-5
    )


def test_consistency_of_the_code_is_a_mean_over_tokens_of_plain_norms():
    prompted, clean = features(0), features(1)
    expected = 0.0
    for sample in range(3):
        norms = [
            math.sqrt(sum(x * x for x in (prompted - clean)[sample, token].tolist()))
            for token in range(4)
        ]
        expected += sum(norms) / 4
    assert float(feature_consistency(prompted, clean, "l2_mean_tokens")) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("form", ["half_squared", "l2_mean_tokens"])
def test_unmoved_features_cost_nothing_and_have_a_finite_gradient(form):
    clean = features(0).float()
    prompted = clean.clone().requires_grad_()
    loss = feature_consistency(prompted, clean, form)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prompted.grad, torch.zeros_like(clean))


def test_enrichment_by_hand():
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    assert float(semantic_enrichment(image, text, 2.0, "scaled_cosine")) == pytest.approx(
        2 * 1 + 2 * 0.96
    )
    assert float(semantic_enrichment(image, text, 2.0, "exponential")) == pytest.approx(
        math.exp(2) + math.exp(1.92)
    )


def test_task_loss_divides_by_samples_or_by_tokens():
    nll, tokens = torch.tensor([3.0, 5.0]), torch.tensor([1, 4])
    assert float(task_loss(nll)) / task_units(tokens, "sample_sum") == 4.0
    assert float(task_loss(nll)) / task_units(tokens, "token_mean") == pytest.approx(1.6)


def test_presets_say_where_paper_and_code_differ():
    paper, code = PRESETS["paper"], PRESETS["authors-code"]
    assert (paper.task_form, code.task_form) == ("sample_sum", "token_mean")
    assert (paper.consistency_form, code.consistency_form) == ("half_squared", "l2_mean_tokens")
    assert (paper.consistency_reference, code.consistency_reference) == ("full", "shrunk")
    assert (paper.enrichment_form, code.enrichment_form) == ("exponential", "scaled_cosine")


def test_a_negative_weight_is_refused():
    with pytest.raises(
        ConfigError, match=r"consistency_weight is -1; expected a number of at least 0"
    ):
        Objective(consistency_weight=-1)
