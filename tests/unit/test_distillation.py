"""What is held fast: LwF's loss as the paper writes it, and the memory of queries."""

import math

import pytest
import torch

from matboard.continual.distillation import QueryMemory, logit_distillation


def test_logit_distillation_is_the_paper_s_formula_in_loops():
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    total = 0.0
    for s, t in zip(student.softmax(dim=1).tolist(), teacher.softmax(dim=1).tolist()):
        soft_s, soft_t = ([p ** (1 / 2.0) for p in row] for row in (s, t))
        total -= sum(y / sum(soft_t) * math.log(p / sum(soft_s)) for y, p in zip(soft_t, soft_s))
    assert float(logit_distillation(student, teacher, 2.0)) == pytest.approx(total / 4, rel=1e-5)


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
