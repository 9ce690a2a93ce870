"""Speed as ratios, both sides measured in turns in one process: ``make bench``.

Absolute times say more about the machine than about the code; a ratio of two medians, taken alternately, says what the code costs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from matboard import load_guide, load_model, load_task
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.transfer.fit import Fit, Processes
from matboard.transfer.objectives import Objective
from matboard.transfer.optimisers import NormalisedGradient, Schedule

BATCH, ROUNDS = 16, 9


def compare(sides: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each side, taken in turns after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def step_over_bare(name: str) -> dict[str, float]:
    """A step of learning over the model's own forward and backward on the same batch."""
    model, guide, task = load_model(name), load_guide("tiny-guide"), load_task("scenes-recognition", train=64, test=16)

    def fit(consistency: float, enrichment: float) -> Fit:
        objective = Objective(consistency_weight=consistency, enrichment_weight=enrichment)
        optimiser = NormalisedGradient(Schedule(1.0, 10_000))
        return Fit(
            PixelPrompt(Canvas()),
            [model],
            task,
            objective=objective,
            optimiser=optimiser,
            guide=guide,
            batch_size=BATCH,
            diagnose_every=0,
            processes=Processes(),
        )

    plain, consistent, full = fit(0, 0), fit(1e-3, 0), fit(1e-3, 1e-3)
    for warm in (plain, consistent, full):
        for _ in range(16):  # every clean feature and caption is in its cache
            next(warm)
    batch = plain.batches.at(0)
    images = plain.prompt(batch.images).detach()

    def bare() -> None:
        leaf = images.clone().requires_grad_()
        model.answer_loss(leaf, batch.questions, batch.answers).mean().backward()

    times = compare({"bare": bare, "task": lambda: next(plain), "task+FCA": lambda: next(consistent), "task+FCA+TSE": lambda: next(full)})
    return {f"{side} / bare": times[side] / times["bare"] for side in times if side != "bare"} | {"bare seconds": times["bare"]}


def ranking_over_naive(name: str, candidates: int = 10) -> dict[str, float]:
    """Ranking candidates over one whole forward for each of them."""
    model, task = load_model(name), load_task("scenes-recognition", train=16, test=BATCH)
    pictures = [s.load() for s in task.test]
    questions = [s.question for s in task.test]
    names = [*task.test[0].candidates, *task.test[0].candidates][:candidates]

    def naive() -> torch.Tensor:
        with torch.no_grad():
            each = [model.answer(pictures, questions, [c] * BATCH) for c in names]
        return torch.stack([a.negative_log_likelihood / a.token_count for a in each], dim=1)

    def ranked() -> torch.Tensor:
        with torch.no_grad():
            return model.candidate_log_likelihoods(pictures, questions, [names] * BATCH)

    worst = (naive() + ranked()).abs().max().item()
    times = compare({"naive": naive, "ranked": ranked})
    return {"naive / ranked": times["naive"] / times["ranked"], "largest difference": worst, "candidates": len(names)}


def apply_over_paste() -> dict[str, float]:
    """Applying a prompt over Pillow alone: resize and paste on a frame."""
    prompt = PixelPrompt(Canvas()).to_artifact().noise(0)
    picture = Image.effect_noise((640, 480), 80).convert("RGB")
    frame = prompt.preview()

    def paste() -> None:
        square = picture.crop((80, 0, 560, 480))
        frame.copy().paste(square.resize((164, 164), Image.Resampling.BICUBIC), (30, 30))

    times = compare({"paste": paste, "apply": lambda: prompt.apply(picture)}, rounds=200)
    return {"apply / paste": times["apply"] / times["paste"], "apply seconds": times["apply"]}


def main() -> None:
    torch.set_num_threads(2)
    model = sys.argv[1] if len(sys.argv) > 1 else "tiny-minigpt4"
    results = {"model": model, "step": step_over_bare(model), "ranking": ranking_over_naive(model), "apply": apply_over_paste()}
    sys.stdout.write(json.dumps(results, indent=1) + "\n")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
