"""Controls against what scikit-learn or a loop says; and the effect that prompts are for."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from matboard import zoo
from matboard.continual.build import build_learner
from matboard.continual.eye import FrozenEye
from matboard.continual.learner import rng
from matboard.continual.protocol import Stage, run_stream
from matboard.continual.ridge import RidgeHead
from matboard.metrics import AccuracyMatrix
from matboard.tasks import load_task
from matboard.tasks.stream import class_incremental


@pytest.fixture(scope="module")
def eye():
    return FrozenEye(zoo.load_backbone("tiny-vit"))


@pytest.fixture(scope="module")
def stream():
    return class_incremental(
        load_task("scenes-recognition", train=160, test=80), 4, seed=0
    )


def matrix(learner, stream):
    stages = [
        event for event in run_stream(learner, stream) if isinstance(event, Stage)
    ]
    return AccuracyMatrix(np.stack([stage.accuracies for stage in stages]))


def test_running_sums_give_the_ridge_of_all_data_at_once():
    features = torch.randn(90, 6)
    labels = torch.arange(90) % 3
    head = RidgeHead(3, 6)
    for part in (slice(0, 40), slice(40, 90)):
        head.add(features[part], labels[part], rng(0))
    data = torch.cat([features, torch.ones(90, 1)], dim=1).double().numpy()
    targets = np.eye(3)[labels]
    gram = data.T @ data
    cross = data.T @ targets
    assert np.allclose(head.gram.numpy(), gram)
    assert np.allclose(head.cross.numpy(), cross)
    weights = head.weight.double().numpy()
    # (G + λ) W = C, so the penalty that was picked is found by λ W = C − G W.
    penalties, *_ = np.linalg.lstsq(weights, cross - gram @ weights, rcond=None)
    naive = SklearnRidge(alpha=float(np.trace(penalties) / 3), fit_intercept=False)
    assert np.allclose(naive.fit(data, targets).coef_.T, weights, atol=1e-5)


def test_class_means_are_counted_over_all_tasks(eye, stream):
    learner = build_learner("class-means", eye, 8)
    matrix(learner, stream)
    inputs = eye.inputs([s for t in stream.tasks for s in t.test])
    for label in range(8):
        mine = [s for t in stream.tasks for s in t.train if s.label == label]
        mean = torch.stack([eye.inputs([s]).query[0] for s in mine]).mean(dim=0)
        cosine = torch.nn.functional.cosine_similarity(inputs.query, mean[None])
        assert torch.allclose(learner.logits(inputs)[:, label], cosine, atol=1e-5)


def test_a_pool_forgets_less_than_a_fine_tuned_head_and_prompts_learn(eye, stream):
    fine = matrix(build_learner("fine-tune", eye, 8, epochs=20), stream)
    pool = matrix(
        build_learner("l2p", eye, 8, lr=0.02, epochs=4, augment=False), stream
    )
    assert fine.forgetting() > pool.forgetting() + 0.2
    assert pool.average_accuracy() > fine.average_accuracy() + 0.1
    assert pool.learning_accuracy() > 0.8


def drift(eye, stream, **weights):
    """How far the old classes' shares move on the second task's pictures, which is where LwF holds
    them.
    """
    learner = build_learner(
        "generator-pool", eye, 8, lr=0.02, epochs=4, augment=False, **weights
    )
    inputs = eye.inputs(stream.tasks[1].train, 0)
    old = list(stream.tasks[0].classes)
    shares = []
    for task in stream.tasks[:2]:
        for _ in learner.learn(task):
            pass
        shares.append((learner.scores(inputs)[:, old] / 2).softmax(dim=1))
    return float((shares[1] - shares[0]).abs().mean())


def test_lwf_holds_old_classes_fast(eye, stream):
    assert drift(eye, stream, distillation=10.0) < 0.7 * drift(eye, stream)


def test_a_distilled_generator_keeps_what_it_made_of_old_queries(eye, stream):
    moved = []
    for weight in (0.0, 1000.0):
        training = {"lr": 0.02, "epochs": 4, "augment": False}
        learner = build_learner(
            "generator-pool", eye, 8, **training, generator_distillation=weight
        )
        old = eye.inputs(stream.tasks[0].test).query
        made = []
        for task in stream.tasks[:2]:
            for _ in learner.learn(task):
                pass
            made.append(learner.source.generate(old).detach())
        moved.append(float((made[1] - made[0]).square().mean()))
    assert moved[1] < 0.7 * moved[0]
