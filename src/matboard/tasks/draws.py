"""Drawing samples by lot: without replacement, balanced by group, decided by a seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def balanced_indices(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """``count`` indices drawn without replacement, group sizes as equal as the data allows.

    Groups take turns, in an order drawn by lot, so that a ``count`` that does not divide evenly
    favours none by its name. A smaller ``count`` gives the beginning of what a larger one gives.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {group: [] for group in sorted(set(groups))}
    for index, group in enumerate(groups):
        members[group].append(index)
    queues = [rng.permutation(indices).tolist() for indices in members.values()]
    queues = [queues[i] for i in rng.permutation(len(queues))]
    return _in_turns(queues)[:count]


def _in_turns(queues: Sequence[Sequence[int]]) -> list[int]:
    drawn = []
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue):
                drawn.append(queue[turn])
    return drawn
