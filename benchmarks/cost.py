"""What a border costs beside LoRA, prompt tuning and full fine-tuning of the same model (arXiv
2404.11207, Tab. 5), on the same pictures in one run:

    python benchmarks/cost.py --model tiny-minigpt4 --out runs/cost_tiny
    matboard report runs/cost_tiny

Every way has its own copy of the model, drives it by the same code (`answer_loss`), and takes its
steps in turns with the others, one order after the other, so that a busy machine is busy for all.
What is measured:

=============  =================================================================================
trainable      scalars that learning changes; of a border those on the ring, not the canvas
step           median seconds of forward, backward and update, and the smallest and largest
memory         the most bytes that a step held beyond what lay there before it, and the
               optimiser's state; on a CPU counted from every allocation that torch makes, on a
               GPU torch.cuda.max_memory_allocated
kept           bytes of the file that is kept of what was learned, for one model and for as many
               as are asked for: a border serves all models, anything else one
=============  =================================================================================

LoRA, of queries and values, and prompt tuning are peft's, with its defaults but for the rank and
the number of tokens. They and full fine-tuning are updated by AdamW, the border by TVP's normalised
gradient.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from matboard import load_model, load_task
from matboard.errors import ModelError
from matboard.images import to_array
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.report.cost import cost_table
from matboard.report.plain_table import as_markdown
from matboard.results.cost import Cost, CostResults
from matboard.runs import Run
from matboard.transfer.optimisers import NormalisedGradient, Schedule, Slope

QUERIES_AND_VALUES = ("q_proj", "v_proj", "q", "v")
"""As decoders call them, and T5."""

LR = 1e-4
"""AdamW's; what is learned does not matter here."""


@dataclass(frozen=True)
class Lesson:
    """Pictures with questions and answers; ``full`` fill the canvas, ``inner`` the border's
    inside.
    """

    full: Tensor
    inner: Tensor
    questions: list[str]
    answers: list[str]


@dataclass
class Way:
    """One way of learning, on a copy of the model of its own.

    Attributes:
        name: as the table says it.
        trainable: scalars that learning changes.
        step: takes one step.
        state: the tensors that the optimiser carries, once there was a step.
        keep: writes what was learned into a folder.
        serves: whether one learned thing serves all models.
    """

    name: str
    trainable: int
    step: Callable[[], None]
    state: Callable[[], Iterable[Tensor]]
    keep: Callable[[Path], None]
    serves: bool = False


def lesson(task: str, count: int, canvas: Canvas) -> Lesson:
    """The first training pictures of a task."""
    samples = load_task(task, train=count, test=1).train
    whole = Canvas(canvas.size, 0)

    def stack(place: Canvas) -> Tensor:
        arrays = [to_array(place.shrink(sample.load())) for sample in samples]
        return torch.stack([torch.from_numpy(array) for array in arrays])

    asked = [sample.question for sample in samples]
    return Lesson(stack(whole), stack(canvas), asked, [s.answer for s in samples])


def border(model: Any, given: Lesson, canvas: Canvas) -> Way:
    """TVP's border, by the task loss alone."""
    prompt = PixelPrompt(canvas).to(given.inner.device)
    optimiser = NormalisedGradient(Schedule(1.0, 10**6))

    def step() -> None:
        shown = prompt(given.inner)
        shown.retain_grad()
        model.answer_loss(shown, given.questions, given.answers).mean().backward()
        slope = Slope(prompt.delta.grad, shown.grad.sum(dim=0))
        with torch.no_grad():
            moved = optimiser.update(prompt.delta, slope, 0, {}).values
            prompt.delta.copy_(prompt.projected(moved))
        prompt.delta.grad = None

    def keep(folder: Path) -> None:
        prompt.to_artifact().save_pretrained(folder)
        for file in folder.glob("*"):
            if file.name not in ("prompt.safetensors", "prompt_config.json"):
                file.unlink()

    ring = int(canvas.mask().sum()) * 3
    return Way("border", ring, step, lambda: [], keep, serves=True)


def tuned(
    name: str,
    model: Any,
    given: Lesson,
    learned: Sequence[Tensor],
    keep: Callable[[Path], None],
) -> Way:
    """Weights learned by AdamW."""
    optimiser = torch.optim.AdamW(learned, lr=LR)

    def step() -> None:
        loss = model.answer_loss(given.full, given.questions, given.answers).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def state() -> Iterable[Tensor]:
        for values in optimiser.state.values():
            yield from (v for v in values.values() if isinstance(v, Tensor))

    return Way(name, sum(p.numel() for p in learned), step, state, keep)


def full_tuning(model: Any, given: Lesson) -> Way:
    """Every weight of the model."""
    model.model.requires_grad_(True)
    learned = list(model.model.parameters())
    return tuned("full fine-tuning", model, given, learned, model.model.save_pretrained)


def with_peft(name: str, model: Any, given: Lesson, config: Any) -> Way:
    """A method of peft's on the language model."""
    import peft

    driven = model.language  # holds the language model that `answer_loss` calls
    driven.language = peft.get_peft_model(driven.language, config)
    adapted = driven.language
    learned = [p for p in adapted.parameters() if p.requires_grad]

    def keep(folder: Path) -> None:
        kept = peft.get_peft_model_state_dict(adapted)
        save_file(
            {k: v.contiguous() for k, v in kept.items()}, folder / "adapter.safetensors"
        )

    return tuned(name, model, given, learned, keep)


def attention_of(model: Any) -> list[str]:
    """Where LoRA goes by peft's default: queries and values of the language model, not of the eye.

    Raises ModelError where there are none of the usual names.
    """
    eye = set(model.fusion.eye.modules())
    found = [
        name
        for name, part in model.language.language.named_modules()
        if part not in eye and name.rpartition(".")[2] in QUERIES_AND_VALUES
    ]
    if not found:
        raise ModelError(
            f"{model.name} has no layers named {', '.join(QUERIES_AND_VALUES)} for LoRA."
        )
    return found


def ways(name: str, given: Lesson, canvas: Canvas, rank: int, tokens: int) -> list[Way]:
    """All of them, each on a copy of its own. Raises ModelError."""
    from peft import LoraConfig, PromptTuningConfig

    def copy() -> Any:
        return load_model(name, device=given.full.device)

    model = copy()
    kind = "SEQ_2_SEQ_LM" if model.language.padding == "right" else "CAUSAL_LM"
    lora = LoraConfig(r=rank, target_modules=attention_of(model), task_type=kind)
    soft = PromptTuningConfig(num_virtual_tokens=tokens, task_type=kind)
    return [
        border(model, given, canvas),
        with_peft("prompt tuning", copy(), given, soft),
        with_peft("LoRA", copy(), given, lora),
        full_tuning(copy(), given),
    ]


def peak_bytes(step: Callable[[], None], device: torch.device) -> int:
    """The most bytes that a step held beyond what lay there before it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = [
        e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"
    ]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def times(all_ways: Sequence[Way], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way's steps, taken in turns; the order is turned round every round."""
    taken: dict[str, list[float]] = {way.name: [] for way in all_ways}
    for turn in range(rounds + 1):
        for way in all_ways if turn % 2 else reversed(all_ways):
            started = time.perf_counter()
            way.step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first warms up
                taken[way.name].append(time.perf_counter() - started)
    return taken


def kept_bytes(way: Way) -> int:
    """Bytes on the disk of what is kept."""
    with tempfile.TemporaryDirectory() as name:
        way.keep(Path(name))
        files = [file for file in Path(name).rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)


def measure(
    all_ways: Sequence[Way],
    rounds: int,
    weights: int,
    models: int,
    device: torch.device,
) -> list[Cost]:
    """What every way costs."""
    taken = times(all_ways, rounds)
    first = statistics.median(taken["border"])
    costs = []
    for way in all_ways:
        seconds = statistics.median(taken[way.name])
        kept = kept_bytes(way)
        cost = Cost(
            name=way.name,
            trainable=way.trainable,
            share=way.trainable / weights,
            seconds=seconds,
            fastest=min(taken[way.name]),
            slowest=max(taken[way.name]),
            over_border=seconds / first,
            memory=peak_bytes(way.step, device),
            optimiser=sum(tensor.nbytes for tensor in way.state()),
            kept=kept,
            kept_for_all=kept if way.serves else kept * models,
        )
        costs.append(cost)
    return costs


def main() -> None:
    asked = arguments()
    settings = {key: value for key, value in vars(asked).items() if key != "out"}
    run = Run.open(asked.out, settings) if asked.out else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    canvas = Canvas(asked.size, asked.width)
    given = lesson(asked.task, asked.batch, canvas)
    given = Lesson(
        given.full.to(device), given.inner.to(device), given.questions, given.answers
    )
    all_ways = ways(asked.model, given, canvas, asked.rank, asked.tokens)
    weights = all_ways[-1].trainable
    costs = measure(all_ways, asked.rounds, weights, asked.models, device)
    results = CostResults(
        title=f"What a border costs on {asked.model}",
        model=asked.model,
        weights=weights,
        batch=asked.batch,
        rounds=asked.rounds,
        models=asked.models,
        device=device.type,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        costs=tuple(costs),
    )
    sys.stdout.write(as_markdown(cost_table(results)) + "\n")
    if run:
        run.write_results(results.as_json())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What learning a border costs beside peft."
    )
    parser.add_argument(
        "--model", default="tiny-minigpt4", help="a zoo name, folder or Hub id"
    )
    parser.add_argument("--task", default="scenes-recognition", help="whose pictures")
    parser.add_argument("--batch", type=int, default=16, help="pictures of a step")
    parser.add_argument(
        "--rounds", type=int, default=9, help="measured steps of each way"
    )
    parser.add_argument("--size", type=int, default=224, help="of the canvas")
    parser.add_argument("--width", type=int, default=30, help="of the border")
    parser.add_argument("--rank", type=int, default=8, help="of LoRA")
    parser.add_argument("--tokens", type=int, default=20, help="of prompt tuning")
    parser.add_argument(
        "--models", type=int, default=6, help="to count what is kept for"
    )
    parser.add_argument("--out", type=Path, help="a run folder to write too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
