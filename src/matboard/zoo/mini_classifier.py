"""EfficientNet-Lite0 with its head: a real image classifier that can be had offline.

It reads 112 pixels, not the 224 it was trained on, which a CPU can learn through: four times as
fast.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from matboard.disk import make_once
from matboard.zoo.mini_shapes import image_processor
from matboard.zoo.names import MINI_CLASSIFIER, folder_of
from matboard.zoo.parts import Progress, fetch

PART = "efficientnet-lite0-imagenet"
SIDE = 112
"""Pixels of a picture's side."""


def build(out: Path, progress: Progress) -> Path:
    """Write the classifier's folder, ``out/zoo/mini-classifier``; kept if it is there. Raises
    ModelError where the part cannot be had.
    """
    target = folder_of(MINI_CLASSIFIER, out)

    def make(fresh: Path) -> None:
        shutil.copytree(fetch(PART, out, progress), fresh)
        sizes = {
            "size": {"shortest_edge": SIDE},
            "crop_size": {"height": SIDE, "width": SIDE},
        }
        processor = json.dumps({**image_processor("cnn"), **sizes}, indent=2)
        (fresh / "preprocessor_config.json").write_text(processor)

    if not target.exists():
        make_once(target, make)
        progress(f"{MINI_CLASSIFIER}: ready in {target}")
    return target
