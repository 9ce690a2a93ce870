"""``python -m recipes.tiny OUT [NAME…]``: train these (all by default) into OUT, then measure.

Pictures and eyes are kept in OUT and serve the next model; the accuracies on scenes that nobody
trained on go to ``OUT/accuracies.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.tiny.measure import measure
from recipes.tiny.models import NAMES
from recipes.tiny.training import train


def main(arguments: Sequence[str]) -> None:
    """Progress goes to standard output."""
    out = Path(arguments[0])
    for name in arguments[1:] or NAMES:
        for line in train(name, out):
            sys.stdout.write(f"{name}: {line}\n")
            sys.stdout.flush()
    measure(out)


if __name__ == "__main__":
    main(sys.argv[1:])
