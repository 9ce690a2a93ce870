"""Choices among learned prompts, drawn many times from pictures on which the truth is known.

    python benchmarks/choosing_cases.py scenes-recognition/noise runs/tvp tiny-blip2,tiny-bliva

Every prompt of the run folder is judged on all test pictures once (kept in ``runs/choosing``, or
found where ``--store`` is the study's and the other options draw its pictures). Then labelled
pictures are drawn from them again and again, and the choice is held against the accuracy on all of
them: a use is false where the prompt is no better there than no prompt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from matboard.metrics import credit
from matboard.studies.choose.candidates import load_candidates
from matboard.studies.config import TaskConfig
from matboard.studies.judging import FolderStore
from matboard.studies.loading import load
from matboard.transfer.choose import NONE, Halving, right_or_wrong
from matboard.transfer.evaluate import Judged, judge
from matboard.zoo import load_model

RATE = 0.05
DRAWS = 40
PICTURES = (30, 60, 120, 240)

Right = dict[str, NDArray[np.bool_]]


def all_right(asked: argparse.Namespace, model: str) -> Right:
    """Which pictures are right, without a prompt and with each."""
    candidates = load_candidates([asked.run])
    drawn = TaskConfig(name=asked.task, train=1, test=asked.test, skip=asked.skip)
    judged_on = load(drawn)
    store = FolderStore(Path(asked.store))
    loaded = load_model(model, dtype=getattr(torch, asked.precision))
    ids = [sample.id for sample in judged_on.test]
    right = {}
    for name, showing in candidates.shown.items():
        unit = Judged(loaded, judged_on, showing, 0, "ranking", asked.precision)
        scored = judge(unit, store)
        right[name] = right_or_wrong(credit(scored.scores, scored.labels), ids)
    return right


def choice(right: Right, drawn: NDArray[np.int64]) -> Halving:
    """What is chosen by these pictures."""
    halving = Halving([name for name in right if name != NONE], len(drawn), RATE)
    while (asked := halving.round) is not None:
        part = drawn[asked.start : asked.stop]
        halving.tell({name: right[name][part] for name in (NONE, *asked.candidates)})
    return halving


def show(right: Right, pictures: int) -> None:
    """One line: how often a prompt was used, how often wrongly, what was gained, how many calls."""
    everything = len(right[NONE])
    truth = {name: own.mean() - right[NONE].mean() for name, own in right.items()}
    gains = []
    calls = []
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, pictures])
        made = choice(right, rng.permutation(everything)[:pictures])
        calls.append(made.calls / pictures / len(right))
        if made.winner is not None:
            gains.append(truth[made.winner])
    false = sum(gain <= 0 for gain in gains)
    print(
        f"  {pictures:4} pictures: used {len(gains)}/{DRAWS}, wrongly {false}, gain"
        f" {sum(gains) / DRAWS:+.3f} of {max(truth.values()):+.3f}, calls {np.mean(calls):.0%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("run", help="a finished run folder of matboard fit")
    parser.add_argument("models", help="names, separated by commas")
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--store", default="runs/choosing")
    parser.add_argument("--precision", default="float32")
    asked = parser.parse_args()
    for model in asked.models.split(","):
        print(f"{asked.task} · {model}")
        right = all_right(asked, model)
        for pictures in PICTURES:
            if pictures <= len(right[NONE]):
                show(right, pictures)


if __name__ == "__main__":
    main()
