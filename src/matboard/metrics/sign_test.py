"""Does one way of showing pictures win against another? The sign test, looked at several times.

Two ways are judged on the same pictures, right or wrong. Only pictures count on which they differ:
each is a win or a loss, and where neither way is better a win is a coin's head. How many of so many
differing pictures must be won is exact (a sum of binomial terms, no approximation), at one look or
at several: a look may spend so much of the error rate, and paths that were stopped at an earlier
look are taken out before the next is judged (K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983).
Which of two looks comes next, or whether, may depend on anything seen; leaving out a look never
raises the error rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

SPENT_AS = 3.0
"""The share of the error rate spent by the share t of the pictures is t³: early looks stop for
large gains only, and the last keeps almost all (the power family of Kim and DeMets, Biometrika 74,
1987)."""
FOR_DIFFERING = 0.1
"""Of an end's error rate, what the share of differing pictures gets (guess)."""
_HALVINGS = 40
"""Of an interval that is searched: to 1e-12."""


@dataclass(frozen=True)
class Tally:
    """What was seen up to each look; every number counts from the first picture.

    Attributes:
        pictures, wins, losses: one entry a look, in order.
    """

    pictures: tuple[int, ...]
    wins: tuple[int, ...]
    losses: tuple[int, ...]

    @property
    def differing(self) -> tuple[int, ...]:
        """Pictures on which the two ways differ."""
        pairs = zip(self.wins, self.losses, strict=True)
        return tuple(won + lost for won, lost in pairs)

    @property
    def difference(self) -> float:
        """Wins minus losses a picture at the last look, in [−1, 1]."""
        return (self.wins[-1] - self.losses[-1]) / self.pictures[-1]

    @property
    def turned(self) -> Tally:
        """The same from the other side."""
        return Tally(self.pictures, self.losses, self.wins)


def wins_needed(
    differing: Sequence[int], budgets: Sequence[float], chance: float = 0.5
) -> list[int]:
    """At each look, from how many wins on "each win has at most this chance" is rejected; one more
    than there are differing pictures where no number would do.

    Args:
        differing: pictures on which the two differ, up to each look.
        budgets: the error rate that may be spent up to each look.
    """
    paths = np.ones(1)  # P(so many wins, not rejected before)
    needed = []
    spent = 0.0
    before = 0
    for count, budget in zip(differing, budgets, strict=True):
        paths = np.convolve(paths, _binomial(count - before, chance))
        before = count
        tails = np.append(np.cumsum(paths[::-1])[::-1], 0.0)
        least = int(np.argmax(tails <= budget - spent))
        needed.append(least)
        spent += tails[least]
        paths[least:] = 0.0
    return needed


def is_shown(tally: Tally, planned: int, rate: float, chance: float = 0.5) -> bool:
    """Whether the last look shows that a win has more than this chance.

    Args:
        planned: how many pictures the last of all looks would have.
        rate: error rate of all looks together.
    """
    budgets = _budgets(tally, planned, rate)
    return tally.wins[-1] >= wins_needed(tally.differing, budgets, chance)[-1]


def p_value(tally: Tally, planned: int) -> float:
    """The smallest error rate of all looks together at which the last look shows a gain."""
    if not is_shown(tally, planned, 1.0):
        return 1.0
    return _highest(lambda rate: not is_shown(tally, planned, rate))


def interval(tally: Tally, planned: int, rate: float) -> tuple[float, float]:
    """Ends between which the difference in accuracy lies, at whichever look one stops.

    It lies outside with at most 2 · ``rate``. The lower end lies above zero exactly where
    `is_shown`: the difference is the share of differing pictures × (2 × chance of a win − 1), and
    either factor has ends of its own. So the interval is exact and, away from zero, wide.
    """
    aside = FOR_DIFFERING * rate
    low = _chance_below(tally, planned, rate)
    high = 1 - _chance_below(tally.turned, planned, rate - 2 * aside)
    looks = len(tally.pictures)
    fewest, most = _differing_share(tally, aside / looks)
    lean = 2 * low - 1
    far = 2 * high - 1
    return (
        lean * (fewest if lean > 0 else most),
        far * (most if far > 0 else fewest),
    )


def pictures_to_show(
    difference: float, differing: float, rate: float, power: float = 0.8
) -> int:
    """About how many pictures one look needs to show a gain (Connor, Biometrics 43, 1987).

    Args:
        difference: true gain in accuracy, above 0.
        differing: share of pictures on which the two ways differ, at least ``difference``.
        power: how often it is then shown.
    """
    normal = NormalDist()
    nothing = normal.inv_cdf(1 - rate) * math.sqrt(differing)
    gain = normal.inv_cdf(power) * math.sqrt(differing - difference**2)
    root: float = (nothing + gain) / difference
    return math.ceil(root**2)


def _chance_below(tally: Tally, planned: int, rate: float) -> float:
    """A chance of winning that the true one lies above."""
    return _highest(lambda chance: is_shown(tally, planned, rate, chance))


def _differing_share(tally: Tally, rate: float) -> tuple[float, float]:
    """Clopper and Pearson's ends for the share of differing pictures, each at an error rate."""
    pictures = tally.pictures[-1]
    differing = tally.differing[-1]

    def too_small(share: float, seen: int) -> bool:
        return float(_binomial(pictures, share)[seen:].sum()) <= rate

    fewest = _highest(lambda share: too_small(share, differing))
    most = 1 - _highest(lambda share: too_small(share, pictures - differing))
    return fewest, most


def _budgets(tally: Tally, planned: int, rate: float) -> list[float]:
    return [rate * (shown / planned) ** SPENT_AS for shown in tally.pictures]


def _highest(holds: Callable[[float], bool]) -> float:
    """The highest number in [0, 1] for which something holds that holds for all below it."""
    low = 0.0
    high = 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _binomial(count: int, chance: float) -> NDArray[np.float64]:
    """The chances of 0 … ``count`` wins; ``chance`` lies inside (0, 1)."""
    wins = np.arange(count + 1)
    each = wins * math.log(chance) + (count - wins) * math.log1p(-chance)
    return np.asarray(np.exp(_log_ways(count) + each))


@cache
def _log_ways(count: int) -> NDArray[np.float64]:
    """Logarithms of how many sequences have 0 … ``count`` wins."""
    logs = np.log(np.arange(1, count + 1))
    factorials = np.concatenate([[0.0], np.cumsum(logs)])
    return np.asarray(factorials[-1] - factorials - factorials[::-1])
