"""The difference of two values that were measured on different samples.

Each end of its interval lies as far from it as the ends of the two values' own intervals lie from
them, in squares: Newcombe (1998), method 10, for two fractions with Wilson's intervals; Zou and
Donner (2008) for any two values.
"""

from __future__ import annotations

import math

from matboard.metrics.intervals import Estimate


def unpaired_difference(a: Estimate, b: Estimate) -> Estimate:
    """What b has more than a, b − a; without an interval where one of them has none. ``n`` counts
    the samples of both.
    """
    value = b.value - a.value
    n = a.n + b.n
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, None, None, n)
    low = value - math.hypot(b.value - b.low, a.high - a.value)
    high = value + math.hypot(b.high - b.value, a.value - a.low)
    return Estimate(value, low, high, n).within(-1, 1)
