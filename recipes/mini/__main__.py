"""``python -m recipes.mini DATA WORK [NAME…]``: from packed pictures to connectors and accuracies.

It caches eye tokens under ``WORK``, trains, measures, and writes ``WORK/weights/<name>``. ``DATA``
holds ``cifar100_train_a.npz``, ``cifar100_train_b.npz``, ``tinyimagenet_train.npz``,
``tinyimagenet_val.npz``, ``imagenet1k_one_per_class.npz`` and ``coco128.npz`` to learn from, and
``cifar10_test.npz`` and ``imagenette_val.npz`` to measure on (and ``clevr_style_test.npz`` where
there is one), which no connector sees. No near-duplicate of an ImageNette picture is among
ImageNet's one per class.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from matboard.zoo import mini
from matboard.zoo.parts import Progress
from recipes.mini.connectors import save_connector
from recipes.mini.measure import measure
from recipes.mini.plans import PLANS
from recipes.mini.training import cache_tokens, facts, train_connector


def main(data: Path, work: Path, names: Sequence[str], progress: Progress) -> None:
    """Everything: tokens, training, weights, measure."""
    for eye in eyes_of(names):
        cache_tokens(eye, data, work, work, progress)
    for name in names:
        target = work / "weights" / name
        model = train_connector(name, data, work, work, progress)
        save_connector(model, target, {})
        mini.build_folder(name, work / "zoo" / name, target, work, progress)
        measured = measure(work / "zoo" / name, data)
        save_connector(model, target, facts(name, measured))
        progress(f"{name}: {measured}")


def eyes_of(names: Iterable[str]) -> list[str]:
    """The eyes whose tokens these models' trainings need."""
    eyes = set()
    for name in names:
        plan = PLANS[name]
        eyes |= {stage.tokens for stage in (*plan.stages, plan.align) if stage}
    return sorted(eyes)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asked = sys.argv[3:] or mini.NAMES
    main(Path(sys.argv[1]), Path(sys.argv[2]), asked, logging.info)
