"""Drawing samples by lot: without replacement, balanced by group, decided by a seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def balanced_indices(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """``count`` indices drawn without replacement, group sizes as equal as the data allows.

    Groups take turns, in an order drawn by lot, so that a ``count`` that does not divide evenly
    favours none by its name. A smaller ``count`` gives the beginning of what a larger one gives.
    """
    return in_turns(shuffled_groups(groups, seed))[:count]


def shuffled_groups(groups: Sequence[str], seed: int) -> list[list[int]]:
    """The indices of each group in an order drawn by lot, and the groups so too."""
    rng = np.random.default_rng(seed)
    members = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    shuffled = []
    for group in sorted(members):
        shuffled.append(rng.permutation(members[group]).tolist())
    order = rng.permutation(len(shuffled))
    return [shuffled[position] for position in order]


def in_turns(groups: Sequence[Sequence[int]]) -> list[int]:
    """The first of every group, then the second of every group, and so on."""
    drawn = []
    longest = max(map(len, groups), default=0)
    for turn in range(longest):
        for group in groups:
            if turn < len(group):
                drawn.append(group[turn])
    return drawn
