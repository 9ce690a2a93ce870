"""What is held fast: LwF's loss as the paper writes it, and the memory of queries."""

import math

import pytest
import torch

from matboard.continual.distillation import QueryMemory, logit_distillation


def softened(logits):
    """Eq. 3 with T = 2: p^(1/2), normalised."""
    for row in logits.softmax(dim=1).tolist():
        roots = [p ** (1 / 2) for p in row]
        yield [root / sum(roots) for root in roots]


def test_logit_distillation_is_the_paper_s_formula_in_loops():
    torch.manual_seed(0)
    student = torch.randn(4, 3)
    teacher = torch.randn(4, 3)
    total = 0.0
    for s, t in zip(softened(student), softened(teacher)):
        total -= sum(old * math.log(new) for old, new in zip(t, s))
    assert float(logit_distillation(student, teacher, 2.0)) == pytest.approx(
        total / 4, rel=1e-5
    )


def test_it_is_least_where_student_and_teacher_agree():
    torch.manual_seed(0)
    teacher = torch.randn(4, 3)
    student = torch.randn(4, 3, requires_grad=True)
    assert logit_distillation(teacher, teacher) < logit_distillation(student, teacher)
    agreed = teacher.clone().requires_grad_()
    logit_distillation(agreed, teacher).backward()
    assert agreed.grad.abs().max() < 1e-6


def test_memory_draws_known_classes_with_their_mean_and_deviation():
    torch.manual_seed(0)
    memory = QueryMemory(5, 2)
    labels = torch.tensor([1] * 50 + [3] * 50)
    queries = torch.cat([torch.randn(50, 2) * 0.1 + 7, torch.randn(50, 2) * 2 - 70])
    memory.add(queries, labels)
    assert torch.allclose(memory.mean[1], queries[:50].mean(dim=0))
    assert not memory.known[0]
    drawn = memory.draw(4000, torch.Generator().manual_seed(0))
    first = drawn[drawn[:, 0] > 0]
    assert 1800 < len(first) < 2200
    assert torch.allclose(first.std(dim=0), memory.deviation[1], atol=0.01)
