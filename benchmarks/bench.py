"""Speed as ratios, both sides measured in turns in one process: ``make bench``.

Absolute times say more about the machine than about the code; a ratio of two medians, taken
alternately, says what the code costs. A tiny model is measured in everything; of any other model
only the step of learning, in the precision asked for:

    python benchmarks/bench.py --model mini-instructblip-clip112 --dtype bfloat16 --guide mini-guide

"Bare" is the least that must be computed (``bare.py``), in whichever way of attending is faster. In
a lower precision the cosine of the first batch's gradient to float32's stands beside the times: a
step that is fast and goes astray is not fast.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bare import ATTENTIONS, Bare, attention
from PIL import Image
from torch import Tensor

from matboard import load_guide, load_model, load_task
from matboard.models.capabilities import Guide
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.transfer.batches import Batches
from matboard.transfer.fit import Fit, Processes
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import NormalisedGradient, Schedule
from matboard.transfer.terms.candidate_contrast import CandidateContrast, contrast
from matboard.transfer.terms.feature_consistency import FeatureConsistency
from matboard.transfer.terms.semantic_enrichment import SemanticEnrichment
from matboard.transfer.terms.term import Term
from matboard.zoo.names import TINY, TINY_GUIDE

BATCH, ROUNDS = 16, 9


def compare(
    sides: dict[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, float]:
    """Median seconds of each side, taken in turns after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def tiny_step(name: str) -> dict[str, float]:
    """The step of a tiny model, float32, with input diversity: 64 pictures, each seen both ways
    round.
    """
    return step_over_bare(
        load_model(name),
        load_guide(TINY_GUIDE),
        pictures=64,
        diversity=True,
        warm=16,
        rounds=ROUNDS,
    )


def real_step(name: str, guide: str, dtype: str, rounds: int) -> dict[str, float]:
    """The step of any model and guide in any precision. One batch of pictures, so that few clean
    features need be made first.
    """
    precision = getattr(torch, dtype)
    model, guiding = (
        load_model(name, dtype=precision),
        load_guide(guide, dtype=precision),
    )
    return step_over_bare(
        model, guiding, pictures=BATCH, diversity=False, warm=2, rounds=rounds
    )


def step_over_bare(
    model: HuggingFaceVLM,
    guide: Guide,
    *,
    pictures: int,
    diversity: bool,
    warm: int,
    rounds: int,
) -> dict[str, float | str | None]:
    """A step of learning over the least that it must compute, on batches of the same size, after
    ``warm`` steps.
    """
    task = load_task("scenes-recognition", train=pictures, test=16)
    terms: dict[str, tuple[Term, ...]] = {
        "task": (),
        "task+contrast": (CandidateContrast(weight=1),),
        "task+FCA": (FeatureConsistency(weight=1e-3),),
        "task+FCA+TSE": (
            FeatureConsistency(weight=1e-3),
            SemanticEnrichment(weight=1e-3),
        ),
    }
    fits = {}
    for name, own in terms.items():
        fits[name] = Fit(
            PixelPrompt(Canvas()),
            [model],
            task,
            objective=Objective(*own),
            optimiser=NormalisedGradient(Schedule(1.0, 10_000)),
            guide=guide,
            batch_size=BATCH,
            diversity=diversity,
            diagnose_every=0,
            processes=Processes(),
        )
    first = {name: next(fit) for name, fit in fits.items()}
    for fit in fits.values():
        for _ in range(warm):  # every clean feature and caption is in its cache
            next(fit)
    plain = fits["task"]
    batch = plain.batches.at(0)
    images = plain.prompt(batch.images).detach()
    bare = Bare(model, images, batch.questions, batch.answers)
    sides: dict[str, Callable[[], object]] = {}
    for kind in ATTENTIONS:
        sides[f"bare, {kind}"] = lambda kind=kind: attending(bare, kind)
    for name, fit in fits.items():
        sides[name] = lambda fit=fit: next(fit)
    times = compare(sides, rounds)
    fastest = min(ATTENTIONS, key=lambda kind: times[f"bare, {kind}"])
    least = times[f"bare, {fastest}"]
    told: dict[str, float | str | None] = {
        f"{name} / bare": times[name] / least for name in fits
    }
    return told | {
        "bare seconds": least,
        "bare attends by": fastest,
        "cosine to float32": first["task"].float32_cosine,
        "largest difference": difference(model, bare),
    }


def attending(bare: Bare, kind: str) -> Tensor:
    """A bare step that attends in one way."""
    with attention(bare.model, kind):
        return bare.step()


def difference(model: HuggingFaceVLM, bare: Bare) -> float:
    """Between the bare loss and ours, relative: both must compute the same."""
    with torch.no_grad():
        ours = model.answer(bare.images, bare.questions, bare.said)
        loss = (ours.negative_log_likelihood / ours.token_count).sum()
        return float((bare.loss(bare.images) / loss - 1).abs())


def contrast_over_naive(name: str) -> dict[str, float]:
    """Gradients of the candidate contrast over one whole forward for each candidate."""
    model = load_model(name)
    task = load_task("scenes-recognition", train=BATCH, test=16)
    batch = Batches(task.train, Canvas(), BATCH, 0, False, task.mirror).at(0)
    images = PixelPrompt(Canvas())(batch.images).detach()
    listed = [sample.candidates for sample in batch.samples]
    right = torch.tensor([[c in s.right for c in s.candidates] for s in batch.samples])

    def gradient(scores: Callable[[Tensor], Tensor]) -> Tensor:
        leaf = images.clone().requires_grad_()
        (found,) = torch.autograd.grad(contrast(scores(leaf), right), leaf)
        return found

    def naive(leaf: Tensor) -> Tensor:
        columns = []
        for candidates in zip(*listed, strict=True):
            each = model.answer(leaf, batch.questions, candidates)
            columns.append(-each.negative_log_likelihood / each.token_count)
        return torch.stack(columns, dim=1)

    def shared(leaf: Tensor) -> Tensor:
        return model.candidate_log_likelihoods(leaf, batch.questions, listed)

    worst = (gradient(naive) - gradient(shared)).norm() / gradient(naive).norm()
    times = compare(
        {"naive": lambda: gradient(naive), "ours": lambda: gradient(shared)}
    )
    return {
        "naive / ours": times["naive"] / times["ours"],
        "relative difference": worst.item(),
        "candidates": len(listed[0]),
    }


def ranking_over_naive(name: str, candidates: int = 10) -> dict[str, float]:
    """Ranking candidates over one whole forward for each of them."""
    model, task = (
        load_model(name),
        load_task("scenes-recognition", train=16, test=BATCH),
    )
    pictures = [s.load() for s in task.test]
    questions = [s.question for s in task.test]
    names = [*task.test[0].candidates, *task.test[0].candidates][:candidates]

    def naive() -> torch.Tensor:
        with torch.no_grad():
            each = [model.answer(pictures, questions, [c] * BATCH) for c in names]
        return torch.stack(
            [a.negative_log_likelihood / a.token_count for a in each], dim=1
        )

    def ranked() -> torch.Tensor:
        with torch.no_grad():
            return model.candidate_log_likelihoods(pictures, questions, [names] * BATCH)

    worst = (naive() + ranked()).abs().max().item()
    times = compare({"naive": naive, "ranked": ranked})
    return {
        "naive / ranked": times["naive"] / times["ranked"],
        "largest difference": worst,
        "candidates": len(names),
    }


def apply_over_paste() -> dict[str, float]:
    """Applying a prompt over Pillow alone: resize and paste on a frame."""
    prompt = PixelPrompt(Canvas()).to_artifact().noise(0)
    picture = Image.effect_noise((640, 480), 80).convert("RGB")
    frame = prompt.preview()

    def paste() -> None:
        square = picture.crop((80, 0, 560, 480))
        frame.copy().paste(
            square.resize((164, 164), Image.Resampling.BICUBIC), (30, 30)
        )

    times = compare(
        {"paste": paste, "apply": lambda: prompt.apply(picture)}, rounds=200
    )
    return {
        "apply / paste": times["apply"] / times["paste"],
        "apply seconds": times["apply"],
    }


def main() -> None:
    torch.set_num_threads(1)
    asked = arguments()
    results: dict[str, object] = {"model": asked.model}
    if asked.model in TINY and asked.dtype == "float32":
        results |= {
            "step": tiny_step(asked.model),
            "ranking": ranking_over_naive(asked.model),
            "contrast": contrast_over_naive(asked.model),
            "apply": apply_over_paste(),
        }
    else:
        step = real_step(asked.model, asked.guide, asked.dtype, asked.rounds)
        results |= {
            "guide": asked.guide,
            "dtype": asked.dtype,
            "rounds": asked.rounds,
            "step": step,
        }
    sys.stdout.write(json.dumps(results, indent=1) + "\n")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(
            "Speed as ratios. A tiny model in float32 is measured in everything, any other in its"
            " step."
        )
    )
    parser.add_argument(
        "--model", default="tiny-minigpt4", help="a zoo name, a folder or a Hub id"
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="of the model's and the guide's weights",
    )
    parser.add_argument(
        "--guide",
        default=TINY_GUIDE,
        help="where the model is not tiny; for a tiny one it is tiny-guide",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help="turns of a step that is not a tiny model's",
    )
    parser.add_argument("--out", type=Path, help="a JSON file to write too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
