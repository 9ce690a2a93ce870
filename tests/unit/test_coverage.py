"""How often 95 % intervals hold the truth: worlds with a known truth, drawn again and again.

Run with `make test-slow`; what it measured is in docs/log.md. `test_intervals.py` has the small
version, which counts every table of ten pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from matboard.metrics import (
    METRICS,
    StreamHits,
    difference_over_seeds,
    mean_over_seeds,
    score,
    stream_difference,
    stream_estimate,
)
from matboard.metrics.streams import QUANTITIES

TRIALS = 300
AT_LEAST = 0.93 - 2 * (0.93 * 0.07 / TRIALS) ** 0.5  # for the luck of so many draws
MANY = 200_000

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class World:
    """Pictures that are easy or hard for every condition and seed, half of each answer.

    Attributes:
        gain: how much easier the prompt makes them.
        noise: how much each seed's prompt changes a picture of its own.
        spread: how much seeds differ as a whole.
    """

    gain: float
    noise: float
    spread: float = 0.0

    def draw(self, rng: np.random.Generator, n: int, seeds: int) -> tuple:
        labels = np.arange(n) % 2
        ease = 0.5 + 0.7 * rng.normal(size=n)

        def scores(gain: float) -> np.ndarray:
            margin = ease + gain + self.noise * rng.normal(size=n)
            return np.stack([np.zeros(n), (2 * labels - 1) * margin], axis=1)

        gains = self.gain + self.spread * rng.normal(size=seeds)
        return labels, scores(0), [scores(gain) for gain in gains]

    def truth(self, metric: str) -> tuple[float, float]:
        """The metric without the prompt, and over endless seeds with it."""
        rng = np.random.default_rng(0)
        seeds = 300 if self.spread else 1
        labels, bare, prompted = self.draw(rng, MANY // seeds, seeds)
        return score(metric, bare, labels), np.mean(
            [score(metric, p, labels) for p in prompted]
        )


ALIKE = [World(0, 0.1), World(0, 0.5), World(0.5, 0.7), World(1.5, 0.7)]
APART = [World(0, 0.3, spread=0.3), World(0.5, 0.5, spread=0.3)]
SEEDS = [(1, world) for world in ALIKE] + [(3, world) for world in (*ALIKE, *APART)]


def check(held: Callable[[np.random.Generator], tuple[bool, bool]]) -> None:
    """``held``: whether the value's interval and the difference's held the truth, in one world."""
    rng = np.random.default_rng(1)
    found = np.mean([held(rng) for _ in range(TRIALS)], axis=0)
    print(f"value {found[0]:.3f}, difference {found[1]:.3f}")
    assert (found >= AT_LEAST).all()


@pytest.mark.parametrize("n", [10, 20, 50, 100])
@pytest.mark.parametrize(("seeds", "world"), SEEDS, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_metrics_and_their_differences(
    metric: str, seeds: int, world: World, n: int
) -> None:
    without, truth = world.truth(metric)

    def held(rng: np.random.Generator) -> tuple[bool, bool]:
        labels, bare, prompted = world.draw(rng, n, seeds)
        alone = mean_over_seeds(metric, prompted, labels)
        gain = difference_over_seeds(metric, [bare], prompted, labels)
        return (
            alone.low <= truth <= alone.high,
            gain.low <= truth - without <= gain.high,
        )

    check(held)


@dataclass(frozen=True)
class Learner:
    """One that starts at some ease with a task, and loses some with every later one."""

    start: float
    loss: float
    spread: float = 0.0

    def hits(
        self, rng: np.random.Generator, ease: np.ndarray, task: np.ndarray, tasks: int
    ) -> StreamHits:
        stage = np.arange(tasks)[:, None]
        level = (
            self.start + self.spread * rng.normal() - self.loss * (stage - task) / tasks
        )
        own = 0.5 * rng.normal(size=len(ease)) + 0.3 * rng.normal(
            size=(tasks, len(ease))
        )
        right = level + 0.8 * ease + own > 0
        return StreamHits(right & (task <= stage), task)


STEADY = Learner(1.0, 1.0)
FAST = Learner(1.5, 2.0)
SLOW = Learner(1.2, 0.5)
UNSURE = Learner(1.0, 1.0, spread=0.3)


def stream(
    rng: np.random.Generator,
    n: int,
    tasks: int,
    seeds: int,
    learners: tuple[Learner, Learner],
) -> tuple[list[StreamHits], list[StreamHits]]:
    """Of two learners on the same samples and orders."""
    ease = rng.normal(size=n)
    orders = [rng.permutation(np.arange(n) % tasks) for _ in range(seeds)]
    first, second = (
        [one.hits(rng, ease, task, tasks) for task in orders] for one in learners
    )
    return first, second


PAIRS = [(1, STEADY, STEADY), (1, FAST, SLOW)]
PAIRS += [(3, STEADY, STEADY), (3, FAST, SLOW), (3, STEADY, UNSURE)]


@pytest.mark.parametrize("n", [10, 20, 50, 100])
@pytest.mark.parametrize("tasks", [2, 5])
@pytest.mark.parametrize(("seeds", "a", "b"), PAIRS, ids=str)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_streams_and_their_differences(
    quantity: str, seeds: int, a: Learner, b: Learner, tasks: int, n: int
) -> None:
    read = QUANTITIES[quantity]
    many = 200 if a.spread or b.spread else 1
    endless = stream(np.random.default_rng(0), MANY // many, tasks, many, (a, b))
    everyone = np.ones((1, MANY // many))
    without, truth = (
        np.mean([read(seed.matrices(everyone))[0] for seed in side]) for side in endless
    )

    def held(rng: np.random.Generator) -> tuple[bool, bool]:
        first, second = stream(rng, n, tasks, seeds, (a, b))
        alone = stream_estimate(quantity, second)
        gain = stream_difference(quantity, first, second)
        return (
            alone.low <= truth <= alone.high,
            gain.low <= truth - without <= gain.high,
        )

    check(held)
