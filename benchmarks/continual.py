"""An epoch of L2P with and without what makes it fast, as ratios measured in turns in one process
(part of ``make bench``).

    python benchmarks/continual.py --backbone clip-vit-b16 --side 112 --dtype bfloat16

Each line is the time of an epoch without the thing over the time with everything kept: above 1
means that keeping it pays.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from bench import compare

from matboard import load_task
from matboard.continual.build import build_learner
from matboard.continual.eye import FrozenEye
from matboard.tasks.stream import StreamTask, class_incremental
from matboard.zoo import load_backbone

BATCH = 16


def epoch(eye: FrozenEye, task: StreamTask, **options: object) -> Callable[[], object]:
    """One epoch of L2P on a task, with a learner that has been through one already."""
    learner = build_learner("l2p", eye, 48, epochs=1, batch_size=BATCH, **options)
    return lambda: list(learner.learn(task))


def bare(eye: FrozenEye, task: StreamTask) -> Callable[[], object]:
    """The prompted forward and backward of the same batches, and nothing else."""
    starts = range(0, len(task.train), BATCH)
    tokens = [eye.inputs(task.train[i : i + BATCH], 0).tokens for i in starts]
    prompt = torch.zeros(25, eye.backbone.dim, requires_grad=True)

    def run() -> None:
        for part in tokens:
            out = eye.backbone.forward(part, {0: prompt.expand(len(part), -1, -1)})
            F.mse_loss(
                out.prompts.float().mean(dim=1),
                torch.zeros(len(part), eye.backbone.dim),
            ).backward()

    return run


def epochs(
    name: str, side: int | None, dtype: str, pictures: int, rounds: int
) -> dict[str, float]:
    """Ratios over the epoch with everything kept: clean queries, decoded pictures, the precision
    asked for.
    """
    backbone = load_backbone(name, side=side, dtype=getattr(torch, dtype))
    task = class_incremental(
        load_task("scenes-things", train=max(pictures, 96), test=48), 2
    ).tasks[0]
    task = StreamTask(0, task.name, task.classes, task.train[:pictures], task.test)
    eye = FrozenEye(backbone)
    sides = {
        "kept": epoch(eye, task),
        "query of the augmented picture": epoch(eye, task, clean_query=False),
        "queries and pictures anew": lambda: epoch(
            FrozenEye(backbone, keep=False), task
        )(),
        "no augmentation": epoch(eye, task, augment=False),
        "no augmentation, prompts at three quarters": epoch(
            eye, task, augment=False, layer=3 * backbone.depth // 4
        ),
        "bare": bare(eye, task),
    }
    if dtype != "float32":
        sides["float32"] = epoch(FrozenEye(load_backbone(name, side=side)), task)
    times = compare(sides, rounds)
    found = {
        f"{side} / kept": times[side] / times["kept"]
        for side in times
        if side not in ("kept", "bare")
    }
    weights = sum(p.numel() * p.element_size() for p in backbone.tower.parameters())
    return {
        **found,
        "no augmentation / bare": times["no augmentation"] / times["bare"],
        "kept seconds": times["kept"],
        "a second copy of the backbone would hold, MB": weights / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="An epoch of L2P, as ratios.")
    parser.add_argument(
        "--backbone", default="tiny-vit", help="a zoo name, a folder or a Hub id"
    )
    parser.add_argument(
        "--side",
        type=int,
        help="pixels of a picture's side; the backbone's own where left out",
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--pictures", type=int, default=48, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    found = epochs(
        asked.backbone, asked.side, asked.dtype, asked.pictures, asked.rounds
    )
    sys.stdout.write(
        json.dumps(
            {"backbone": asked.backbone, "dtype": asked.dtype, "epoch of L2P": found},
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
