"""How many labelled pictures a choice takes, how many calls, and how often it is wrong.

    python benchmarks/choosing.py              # false uses, then pictures and calls; 5 minutes
    python benchmarks/choosing.py --worlds 20  # a rough look; seconds

In a simulated world one prompt gains so much over no prompt and the others gain nothing; all differ
from no prompt on three pictures in ten, and mostly on the same ones, as prompts of several seeds
do. Every way of choosing keeps false uses to 5 %; what differs is how many pictures a gain takes
before it is found in 80 of 100 worlds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from matboard.metrics.sign_test import Tally, is_shown
from matboard.transfer.choose import NONE, Halving

RATE = 0.05
DIFFERING = 0.3
ALIKE = 0.6
"""Share of pictures on which a prompt draws with the others."""
POWER = 0.8
STEP = 1.15
"""Numbers of pictures are tried in steps of so much."""

World = Mapping[str, NDArray[np.bool_]]
Method = Callable[[World], tuple[str | None, int]]
"""A world → the prompt to use, or None, and how many calls that took."""


def draw(
    rng: np.random.Generator, gains: Mapping[str, float], pictures: int
) -> dict[str, NDArray[np.bool_]]:
    """Which pictures are right, without a prompt and with each."""
    none = rng.random(pictures) < 0.5
    common = rng.random(pictures)
    right = {NONE: none}
    for name, gain in gains.items():
        lots = np.where(rng.random(pictures) < ALIKE, common, rng.random(pictures))
        differing = max(DIFFERING, abs(gain))
        right[name] = np.where(none, lots >= differing - gain, lots < differing + gain)
    return right


def halving(world: World) -> tuple[str | None, int]:
    """What matboard does."""
    names = [name for name in world if name != NONE]
    choice = Halving(names, len(world[NONE]), RATE)
    while (asked := choice.round) is not None:
        part = slice(asked.start, asked.stop)
        choice.tell({name: world[name][part] for name in (NONE, *asked.candidates)})
    return choice.winner, choice.calls


def everything(world: World) -> tuple[str | None, int]:
    """Ask everything about everything; one sign test of the best, at a share of the rate."""
    names = [name for name in world if name != NONE]
    pictures = len(world[NONE])
    best = _best(world, names, slice(pictures))
    tally = _tally(world, best, slice(pictures))
    shown = is_shown(tally, pictures, RATE / len(names))
    return best if shown else None, pictures * len(world)


def two_halves(world: World) -> tuple[str | None, int]:
    """One half of the pictures finds the best, the other tests it at the whole rate."""
    names = [name for name in world if name != NONE]
    pictures = len(world[NONE])
    half = pictures // 2
    best = _best(world, names, slice(half))
    tally = _tally(world, best, slice(half, pictures))
    shown = is_shown(tally, pictures - half, RATE)
    return best if shown else None, half * len(world) + (pictures - half) * 2


def e_values(world: World) -> tuple[str | None, int]:
    """A betting martingale on the differing pictures of each prompt, its bets spread evenly over
    all chances of a win above one half (Waudby-Smith and Ramdas 2024); used once it has reached
    candidates / rate, by anyone who stops whenever he likes.
    """
    names = [name for name in world if name != NONE]
    pictures = len(world[NONE])
    passed = []
    for name in names:
        won = np.cumsum(world[name] & ~world[NONE])
        lost = np.cumsum(world[NONE] & ~world[name])
        most = max(_log_wealth(*pair) for pair in zip(won.tolist(), lost.tolist()))
        if most >= math.log(len(names) / RATE):
            passed.append(name)
    best = _best(world, passed, slice(pictures)) if passed else None
    return best, pictures * len(world)


METHODS: dict[str, Method] = {
    "halving, three looks (ours)": halving,
    "everything, one look": everything,
    "half to choose, half to test": two_halves,
    "e-values": e_values,
}

CHANCES = np.linspace(0.5, 1, 201)[1:-1]
_WEALTH: dict[tuple[int, int], float] = {}


def _log_wealth(won: int, lost: int) -> float:
    key = (won, lost)
    if key not in _WEALTH:
        logs = won * np.log(2 * CHANCES) + lost * np.log(2 * (1 - CHANCES))
        most = logs.max()
        _WEALTH[key] = float(most + np.log(np.exp(logs - most).mean()))
    return _WEALTH[key]


def _best(world: World, names: list[str], part: slice) -> str:
    return max(names, key=lambda name: int(world[name][part].sum()))


def _tally(world: World, name: str, part: slice) -> Tally:
    ours = world[name][part]
    none = world[NONE][part]
    won = int((ours & ~none).sum())
    lost = int((none & ~ours).sum())
    return Tally((len(none),), (won,), (lost,))


def found(
    method: Method, gain: float, candidates: int, pictures: int, worlds: int
) -> tuple[float, float]:
    """Share of worlds in which a prompt that gains is used, and calls against everything's."""
    hits = 0
    calls = 0
    for world in range(worlds):
        rng = np.random.default_rng([world, candidates, pictures])
        gains = {f"p{place}": 0.0 for place in range(candidates)}
        gains[f"p{rng.integers(candidates)}"] = gain
        chosen, taken = method(draw(rng, gains, pictures))
        hits += chosen is not None and gains[chosen] > 0
        calls += taken
    return hits / worlds, calls / worlds / pictures / (candidates + 1)


def pictures_needed(
    method: Method, gain: float, candidates: int, worlds: int
) -> tuple[int, float]:
    """The least number of pictures tried that finds the gain often enough, and calls then."""
    low = 0
    high = 40
    while found(method, gain, candidates, _count(high), worlds)[0] < POWER:
        low, high = high, high + 5
    while high - low > 1:
        middle = (low + high) // 2
        often = found(method, gain, candidates, _count(middle), worlds)[0] >= POWER
        low, high = (low, middle) if often else (middle, high)
    return _count(high), found(method, gain, candidates, _count(high), worlds)[1]


def _count(place: int) -> int:
    return round(10 * STEP**place)


def false_uses(method: Method, worlds: int) -> float:
    """Share of worlds in which something is used, though nothing helps: prompts exactly as good as
    none, some a little worse, differing often or seldom.
    """
    used = 0
    for world in range(worlds):
        rng = np.random.default_rng([world])
        candidates = (1, 4, 12)[world % 3]
        pictures = (30, 60, 120, 240)[world // 3 % 4]
        worse = rng.random(candidates) < rng.choice([0.0, 0.3])
        gains = {f"p{place}": -0.02 * own for place, own in enumerate(worse)}
        chosen, _ = method(draw(rng, gains, pictures))
        used += chosen is not None
    return used / worlds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=500)
    worlds = parser.parse_args().worlds
    print(
        f"false uses, of {10 * worlds} worlds in which nothing helps (at most {RATE:.0%})"
    )
    for name, method in METHODS.items():
        print(f"  {name:30} {false_uses(method, 10 * worlds):.1%}", flush=True)
    print(f"\npictures for {POWER:.0%} (calls against everything on everything)")
    for candidates in (4, 12):
        for gain in (0.3, 0.2, 0.1, 0.05):
            print(f"  {candidates} prompts, a gain of {gain:.2f}")
            for name, method in METHODS.items():
                if gain < 0.1 and method is e_values:
                    continue  # hours, and thousands of pictures
                count, calls = pictures_needed(method, gain, candidates, worlds)
                print(f"    {name:30} {count:5} ({calls:.0%})", flush=True)


if __name__ == "__main__":
    main()
