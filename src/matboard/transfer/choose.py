"""Which of several prompts to use, if any: successive halving on labelled pictures.

The pictures come in three rounds of about equal size. In each, every prompt that is left is asked
about the same pictures as no prompt at all; after each, the better half stays, and from the middle
on only prompts that have won more pictures than they lost. A prompt is used only where an exact
sign test shows a gain over no prompt, at an error rate that is shared by all prompts (Bonferroni,
over all that entered, dropped ones included) and by all rounds. So however many prompts there are
and however they depend on one another, one that is no better than nothing is used in at most so
many of the cases. Dropping a prompt takes a chance from it, and so never raises that.

Measured beside others at the same guarantee (benchmarks/choosing.py): asking everything about
everything takes as many pictures and 1.7 times the calls, e-values take a third to a half more
pictures, and one half to choose with the other to test takes a seventh to a third more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matboard.errors import ConfigError
from matboard.metrics.sign_test import Tally, interval, is_shown, p_value, wins_needed

NONE = "none"
"""What the picture without a prompt is called where prompts are chosen."""
ROUNDS = 3
"""Of halving; more save calls and lose gains (benchmarks/choosing.py)."""


@dataclass(frozen=True)
class Round:
    """What is to be asked next.

    Attributes:
        candidates: prompts that are left, the best first.
        start, stop: which pictures, of those drawn.
    """

    candidates: tuple[str, ...]
    start: int
    stop: int


@dataclass
class Standing:
    """How a candidate stands against no prompt, after each round that it was in.

    Attributes:
        right: pictures answered rightly so far.
        gain_shown: whether a round has shown that it is better than no prompt.
    """

    name: str
    right: int = 0
    pictures: list[int] = field(default_factory=list)
    wins: list[int] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    gain_shown: bool = False

    @property
    def tally(self) -> Tally:
        """For the sign test."""
        return Tally(tuple(self.pictures), tuple(self.wins), tuple(self.losses))

    def add(self, ours: NDArray[np.bool_], none: NDArray[np.bool_]) -> None:
        """Take in a round's pictures: right or wrong with this prompt and with none."""
        before = (self.pictures or [0], self.wins or [0], self.losses or [0])
        pictures, wins, losses = (counts[-1] for counts in before)
        self.right += int(ours.sum())
        self.pictures.append(pictures + len(ours))
        self.wins.append(wins + int((ours & ~none).sum()))
        self.losses.append(losses + int((none & ~ours).sum()))


class Halving:
    """The choice as it goes on: `round` says what to ask, `tell` takes the answers.

    Args:
        candidates: names of the prompts.
        pictures: how many labelled pictures were drawn.
        rate: how often, at most, a prompt may be used that is no better than none.

    Attributes:
        round: what is to be asked next; None where the choice is made.
        standings: of every candidate, in the order given.

    Raises:
        ConfigError: no candidate, names that are not distinct, a rate outside (0, 0.5), or so few
            pictures that nothing could be shown.
    """

    def __init__(self, candidates: Sequence[str], pictures: int, rate: float) -> None:
        _check(candidates, pictures, rate)
        self.pictures = pictures
        self.rate = rate
        self.standings = {name: Standing(name) for name in candidates}
        self._looks = looks(pictures)
        self.round: Round | None = Round(tuple(candidates), 0, self._looks[0])

    @property
    def own_rate(self) -> float:
        """Each candidate's part of the error rate."""
        return self.rate / len(self.standings)

    @property
    def winner(self) -> str | None:
        """The prompt to use: of those whose gain is shown, and that stayed longest, the one with
        the largest.
        """
        shown = [name for name, one in self.standings.items() if one.gain_shown]
        return min(shown, key=self._rank, default=None)

    @property
    def calls(self) -> int:
        """How many pictures the model was shown so far, no prompt's among them."""
        seen = [one.pictures[-1] for one in self.standings.values() if one.pictures]
        return sum(seen) + max(seen, default=0)

    def interval(self, name: str) -> tuple[float, float]:
        """Ends of a candidate's difference to no prompt in accuracy. All candidates' intervals hold
        at once, at whichever round each stopped, with 1 − 2 · ``rate``.
        """
        return interval(self.standings[name].tally, self.pictures, self.own_rate)

    def p_value(self, name: str) -> float:
        """The smallest ``rate`` at which a candidate's gain is shown."""
        alone = p_value(self.standings[name].tally, self.pictures)
        return min(1.0, alone * len(self.standings))

    @property
    def ranking(self) -> list[str]:
        """All candidates after the first round, the best first."""
        return sorted(self.standings, key=self._rank)

    def tell(self, right: Mapping[str, NDArray[np.bool_]]) -> None:
        """Take in a round: of every candidate asked, and of `NONE`, which pictures were right."""
        asked = self.round
        if asked is None:
            return
        for name in asked.candidates:
            one = self.standings[name]
            one.add(right[name], right[NONE])
            one.gain_shown = is_shown(one.tally, self.pictures, self.own_rate)
        self.round = self._next(asked)

    def _next(self, last: Round) -> Round | None:
        """The next round; None where all pictures were shown, the best prompt's gain is shown, or
        no prompt is left.
        """
        ranked = sorted(last.candidates, key=self._rank)
        if last.stop == self.pictures or self.standings[ranked[0]].gain_shown:
            return None
        staying = ranked[: (len(ranked) + 1) // 2]
        if 2 * last.stop >= self.pictures:
            staying = [name for name in staying if self._difference(name) > 0]
        if not staying:
            return None
        stop = next(look for look in self._looks if look > last.stop)
        return Round(tuple(staying), last.stop, stop)

    def _difference(self, name: str) -> float:
        return self.standings[name].tally.difference

    def _rank(self, name: str) -> tuple[int, float, str]:
        """The best comes first: who stayed longest, then who gained most."""
        pictures = self.standings[name].pictures[-1]
        return -pictures, -self._difference(name), name


def looks(pictures: int) -> list[int]:
    """After how many pictures each round ends."""
    return [-(-pictures * part // ROUNDS) for part in range(1, ROUNDS + 1)]


def fewest_pictures(candidates: int, rate: float) -> int:
    """With fewer pictures not even a prompt that wins every one would be used."""
    count = 1
    while wins_needed([count], [rate / candidates])[0] > count:
        count += 1
    return count


def drawn(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """So many ids by lot, in an order by lot. The order of the first does not depend on which
    others there are: the same pictures come first from a task, a folder or a file of predictions.
    """
    return sorted(ids, key=lambda id: _lot(id, f"order {seed}"))[:count]


def right_or_wrong(
    credit: NDArray[np.float64], ids: Sequence[str]
) -> NDArray[np.bool_]:
    """Which pictures count as right. Where the right answer ties with others, its credit is a
    share: then a coin decides, one a picture and the same for every prompt.
    """
    coins = np.array([_lot(id, "tie") for id in ids])
    return np.asarray(coins < credit)


def _lot(id: str, use: str) -> float:
    """A number in [0, 1), as if drawn by lot, that is always the same."""
    digest = hashlib.sha256(f"{use}\n{id}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _check(candidates: Sequence[str], pictures: int, rate: float) -> None:
    if not candidates:
        raise ConfigError("There is no prompt to choose; give at least one.")
    for place, name in enumerate(candidates):
        if name == NONE or name in candidates[:place]:
            raise ConfigError(
                f"A prompt cannot be called {name!r} here: that name is taken. Rename its folder"
                " or file."
            )
    if not 0 < rate < 0.5:
        raise ConfigError(
            f"The error rate is {rate:g}; expected a number above 0 and below 0.5, such as 0.05."
        )
    fewest = fewest_pictures(len(candidates), rate)
    if pictures < fewest:
        raise ConfigError(
            f"With {pictures} labelled pictures no gain can be shown: {len(candidates)} candidates"
            f" at an error rate of {rate:g} need {fewest} or more. Give more pictures or fewer"
            " prompts."
        )
