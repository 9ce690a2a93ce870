"""Contrasts of a table whose scores are written by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from matboard.models.capabilities import FrozenModel
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.results.transfer import Contrast, Origin, TransferResults
from matboard.tasks.task import Sample, Task
from matboard.transfer.conditions import EVERYWHERE, Learned, Where, conditions
from matboard.transfer.table import Scored, TransferTable

N = 60
ENCODERS = {"source": "e0", "twin": "e0", "sister": "e0", "stranger": "e1"}
TASKS = ("one", "two")
SHARES = {
    # of right answers: by model, under the full picture, shrunk and random
    "source": (0.4, 0.6, 0.5),
    "twin": (0.5, 0.3, 0.2),
    "sister": (0.3, 0.2, 0.6),
    "stranger": (0.7, 0.4, 0.3),
}


@dataclass
class Named(FrozenModel):
    name: str
    encoder: str


def task(name: str) -> Task:
    first, *samples = (
        Sample(f"{name}-{i}", _no_picture, "?", "yes", ("yes", "no"))
        for i in range(N + 1)
    )
    return Task(name, (first,), tuple(samples))


def _no_picture():
    raise AssertionError("nothing is shown here")


def said(rng: np.random.Generator, luck: np.ndarray, share: float) -> Scored:
    """Right for about that share of the samples, mostly the easy ones."""
    right = 0.7 * luck + 0.3 * rng.uniform(size=N) < share
    scores = np.stack([right, ~right], axis=1).astype(float)
    return Scored(scores, np.zeros(N, dtype=np.int64))


def learned() -> list[Learned]:
    blank = VisualPrompt(Canvas(32, 4), np.zeros((3, 32, 32), np.float32))
    seeds = (blank, blank, blank)
    own = {Where(model=name): (blank,) for name in ("source", "twin", "stranger")}
    return [
        Learned("evp", {EVERYWHERE: seeds}, seeds=(0, 1, 2)),
        Learned("tvp", {EVERYWHERE: seeds}, seeds=(0, 1, 2)),
        Learned("itself", own, seeds=(0,), bound=True),
    ]


@pytest.fixture(scope="module")
def table() -> TransferTable:
    rng = np.random.default_rng(0)
    tasks = tuple(task(name) for name in TASKS)
    shown = tuple(conditions(learned()))
    made = TransferTable(("source",), tasks, shown)
    for name, encoder in ENCODERS.items():
        model = Named(name, encoder)
        made.enter(model)
        for one in tasks:
            luck = rng.uniform(size=N)
            shares = dict(zip(("full", "shrunk", "random"), SHARES[name], strict=True))
            shares |= {"evp": 0.5, "tvp": 0.6, "itself": 0.8}
            for showing in shown:
                for _ in showing.at(name, one.name):
                    found = said(rng, luck, shares[showing.name])
                    made.add(model, one, showing, "ranking", found)
    return made


@pytest.fixture(scope="module")
def results(table: TransferTable) -> TransferResults:
    return table.results()


def find(results: TransferResults, group, method, against=None, task=None) -> Contrast:
    (found,) = [
        one
        for one in results.contrasts
        if (one.group, one.method, one.against, one.task)
        == (group, method, against, task)
    ]
    return found


GROUPS = {
    "source": ["source"],
    "same": ["twin", "sister"],
    "other": ["stranger"],
    "unseen": ["twin", "sister", "stranger"],
}


def test_each_method_meets_the_best_baseline_of_each_model(results):
    """A loop over cells, whose values are means over seeds."""
    cells = results.by_place("ranking")
    for group, models in GROUPS.items():
        for tasks in (TASKS, ("one",), ("two",)):
            for method in ("evp", "tvp"):
                gains = []
                for model in models:
                    for name in tasks:
                        baselines = [
                            cells[model, name, one].value
                            for one in ("full", "shrunk", "random")
                        ]
                        own = cells[model, name, method].value
                        gains.append(own - max(baselines))
                part = None if len(tasks) > 1 else tasks[0]
                found = find(results, group, method, task=part)
                assert found.difference.value == pytest.approx(np.mean(gains))
                assert (found.models, found.pairs) == (len(models), len(gains))
                assert found.seeds == 3
                assert found.difference.n == N * len(tasks)


def test_the_best_baseline_is_each_models_own(results):
    best = {
        "source": "shrunk",
        "twin": "full",
        "sister": "random",
        "stranger": "full",
    }
    cells = results.by_place("ranking")
    for model, name in best.items():
        values = {
            one: cells[model, "one", one].value for one in ("full", "shrunk", "random")
        }
        assert max(values, key=values.get) == name


def test_methods_meet_one_another_seed_by_seed(table, results):
    for group, models in GROUPS.items():
        found = find(results, group, "tvp", "evp")
        by_seed = np.zeros(3)
        for model in models:
            for one in table.tasks:
                later = table.scored(model, one, "tvp", "ranking")
                first = table.scored(model, one, "evp", "ranking")
                for seed in range(3):
                    right = later[seed].scores[:, 0] - first[seed].scores[:, 0]
                    by_seed[seed] += right.mean() / (len(models) * len(TASKS))
        assert found.difference.value == pytest.approx(by_seed.mean())
        assert found.difference.low < by_seed.min()


def test_what_models_learn_of_themselves_counts_where_it_was_learned(results):
    found = find(results, "unseen", "itself")
    assert (found.models, found.pairs, found.seeds) == (2, 4, 1)
    assert find(results, "source", "itself").difference.decision == "better"
    assert not any(one.against == "itself" for one in results.contrasts)


def test_there_is_one_contrast_of_a_kind(results):
    kinds = [
        (c.scorer, c.group, c.task, c.method, c.against) for c in results.contrasts
    ]
    assert len(set(kinds)) == len(kinds) == 4 * 3 * 4
    assert all(a != b for a, b in combinations(kinds, 2))


def test_one_task_is_not_told_twice_and_many_methods_meet_the_first(table):
    blank = learned()[0].prompts[EVERYWHERE][:1]
    many = [Learned(f"m{i}", {EVERYWHERE: blank}, seeds=(0,)) for i in range(8)]
    shown = tuple(conditions(many))
    made = TransferTable(("source",), table.tasks[:1], shown)
    rng = np.random.default_rng(1)
    model = Named("source", "e0")
    made.enter(model)
    for showing in shown:
        found = said(rng, rng.uniform(size=N), 0.5)
        made.add(model, table.tasks[0], showing, "ranking", found)
    found = made.results().contrasts
    assert {one.task for one in found} == {None}
    assert {one.group for one in found} == {"source"}
    assert [one.against for one in found] == [None] * 8 + ["m0"] * 7


def test_methods_learned_on_different_models_meet_the_others(table, results):
    """Each on the models that it was not learned on: the twin is the second source."""
    taught = {"evp": ("source",), "tvp": ("source", "twin")}
    shown = []
    for showing in table.shown:
        sources = taught.get(showing.name)
        origin = sources and Origin(variant=showing.name, sources=sources)
        facts = showing.facts.model_copy(update={"origin": origin})
        shown.append(replace(showing, facts=facts))
    found = replace(table, shown=tuple(shown)).results()
    alone = find(found, "untaught", "evp")
    joint = find(found, "untaught", "tvp")
    assert (alone.models, joint.models) == (3, 2)
    assert alone.difference == find(results, "unseen", "evp").difference
    gains = []
    cells = found.by_place("ranking")
    for model in ("sister", "stranger"):
        for name in TASKS:
            names = ("full", "shrunk", "random")
            best = max(cells[model, name, one].value for one in names)
            gains.append(cells[model, name, "tvp"].value - best)
    assert joint.difference.value == pytest.approx(np.mean(gains))
    assert not any(one.group == "untaught" for one in results.contrasts)
