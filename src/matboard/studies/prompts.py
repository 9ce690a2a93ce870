"""Learn prompts and judge them: the main journey, from a configuration to a run folder.

A study is a generator of `Progress`; whoever drives it draws the bars. It can be stopped at any
moment, by Ctrl-C, a kill or a power cut, and started again in the same folder: finished fits and
scores are found, an unfinished fit goes on at its last checkpoint and reaches the very tensor it
would have reached.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from matboard import __version__, zoo
from matboard.models.capabilities import Guide, VisionLanguageModel
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.runs import Checkpoint, Run, write_atomically
from matboard.studies.config import METHODS, PromptConfig, StudyConfig, TaskConfig
from matboard.studies.judge import judge_into
from matboard.studies.progress import Progress
from matboard.tasks import load_task
from matboard.tasks.task import Task
from matboard.transfer.fit import CONSISTENCY, ENRICHMENT, TASK, Fit, FitState, Processes, Step
from matboard.transfer.objectives import PRESETS, Objective
from matboard.transfer.optimisers import GradientDescent, NormalisedGradient, Optimiser, Schedule

SLIGHT, DROWNING = 0.01, 10.0
"""Below and above which share of the task's gradient a term is worth a note (guess)."""


@dataclass(frozen=True)
class Method:
    """A method with everything filled in: what its prompt is trained for, and how."""

    name: str
    objective: Objective
    optimiser: str
    lr: float
    schedule: str
    warmup: int
    diversity: bool
    norm_scope: str

    def build_optimiser(self, steps: int) -> Optimiser:
        schedule = Schedule(self.lr, steps, self.schedule, self.warmup)  # type: ignore[arg-type]
        if self.optimiser == "gradient_descent":
            return GradientDescent(schedule)
        return NormalisedGradient(schedule, self.norm_scope)  # type: ignore[arg-type]


def study(
    config: StudyConfig, out: Path, *, data_dir: Path | None = None, cache: Path | None = None
) -> Iterator[Progress]:
    """Learn a prompt for each method and seed, judge them all, write the run folder.

    Args:
        out: the run folder; created, or taken up where it was left.
        data_dir: where local data sets lie.
        cache: where built zoo models lie.

    Raises:
        InputError: before anything heavy starts, whatever in the configuration cannot be had.
    """
    processes = Processes.here()
    task = _task(config.task, data_dir)
    judged = [_task(t, data_dir) for t in config.evaluate.tasks] or [task]
    zoo.look_up([*config.sources, *config.evaluate.models], cache=cache)
    run = Run.open(out, config.model_dump(mode="json")) if processes.index == 0 else Run(out)
    started = time.perf_counter()
    loader = _Loader(config, cache)
    for name in config.methods:
        method = resolve_method(config, name)
        for seed in config.seeds:
            yield from _fit(config, run, loader, task, method, seed, processes)
    if processes.index == 0:
        yield from _judge(config, run, loader, judged, started)


def resolve_method(config: StudyConfig, name: str) -> Method:
    """A method's defaults (``METHODS``), the study's forms of the losses, and what the
    configuration says of the method.
    """
    asked = config.methods[name].model_dump(exclude_none=True)  # type: ignore[index]
    merged: dict[str, Any] = {
        "warmup": 0,
        "norm_scope": "full",
        "consistency_weight": 0.0,
        "enrichment_weight": 0.0,
        **METHODS[name],
        **asked,
    }
    forms = config.objective.model_dump(exclude_none=True, exclude={"preset"})
    weights = {key: merged.pop(key) for key in ("consistency_weight", "enrichment_weight")}
    if config.guide is None:
        weights["enrichment_weight"] = asked.get("enrichment_weight", 0.0)
    return Method(
        name=name,
        objective=dataclasses.replace(PRESETS[config.objective.preset], **forms, **weights),
        **merged,
    )


class _Loader:
    """Loads models when they are first needed; the sources stay for all fits."""

    def __init__(self, config: StudyConfig, cache: Path | None) -> None:
        self._config, self._cache = config, cache
        self._sources: list[VisionLanguageModel] | None = None
        self._guide: Guide | None = None

    def load(self, name: str) -> VisionLanguageModel:
        return zoo.load_model(name, cache=self._cache, dtype=getattr(torch, self._config.precision))

    def sources(self) -> list[VisionLanguageModel]:
        if self._sources is None:
            self._sources = [self.load(name) for name in self._config.sources]
        return self._sources

    def guide(self) -> Guide | None:
        if self._guide is None and self._config.guide is not None:
            self._guide = zoo.load_guide(
                self._config.guide, cache=self._cache, dtype=getattr(torch, self._config.precision)
            )
        return self._guide

    def targets(self) -> Iterator[VisionLanguageModel]:
        """Every model to be judged, sources first, one in memory at a time besides the sources."""
        yield from self.sources()
        for name in self._config.evaluate.models:
            if name not in self._config.sources:
                yield self.load(name)


# -- learning
# --------------------------------------------------------------------------------------------------


def _fit(
    config: StudyConfig,
    run: Run,
    loader: _Loader,
    task: Task,
    method: Method,
    seed: int,
    processes: Processes,
) -> Iterator[Progress]:
    name = f"{method.name}-s{seed}"
    stage = f"learn {name}"
    child = Run(run.path(f"fits/{name}"))
    main = processes.index == 0
    if run.path(f"prompts/{name}/prompt_config.json").exists():
        yield Progress(stage, config.steps, config.steps, "found")
        return
    if main:
        Run.open(
            child.folder,
            {
                "study": config.model_dump(mode="json", exclude={"seeds", "methods", "evaluate"}),
                **dataclasses.asdict(method),
                "seed": seed,
            },
        )
    fit = _prepare(config, loader, task, method, seed, processes)
    checkpoint = child.load_checkpoint()
    if checkpoint is not None:
        fit.load_state(_from_checkpoint(checkpoint))
    saved, last = fit.step, None
    yield Progress(stage, fit.step, len(fit), "resumed" if fit.step else "")
    try:
        for last in fit:
            if main:
                child.log(_row(last))
                if fit.step % config.checkpoint_every == 0:
                    child.save_checkpoint(_to_checkpoint(fit.state()))
                    saved = fit.step
            yield Progress(stage, fit.step, len(fit), f"loss {last.loss:.3f}")
    finally:
        if main and saved < fit.step < len(fit):
            child.save_checkpoint(_to_checkpoint(fit.state()))
    if main:
        _finish_fit(config, run, child, fit, loader, task, method, seed)


def _prepare(
    config: StudyConfig,
    loader: _Loader,
    task: Task,
    method: Method,
    seed: int,
    processes: Processes,
) -> Fit:
    return Fit(
        build_prompt(config.prompt),
        loader.sources(),
        task,
        objective=method.objective,
        optimiser=method.build_optimiser(config.steps),
        guide=loader.guide(),
        batch_size=config.batch_size,
        seed=seed,
        diversity=method.diversity,
        diagnose_every=config.diagnose_every,
        processes=processes,
    )


def build_prompt(config: PromptConfig) -> PixelPrompt:
    """A prompt of the asked form, at its initial value."""
    canvas = Canvas(config.size, config.width if config.layout == "border" else 0, config.policy)
    patch = Patch(config.width) if config.layout == "patch" else None
    return PixelPrompt(
        canvas, config.layout, config.range, patch, config.resolution, level=config.level
    )


def _finish_fit(
    config: StudyConfig,
    run: Run,
    child: Run,
    fit: Fit,
    loader: _Loader,
    task: Task,
    method: Method,
    seed: int,
) -> None:
    rows = child.metrics()
    summary = {
        "kind": "fit",
        "steps": fit.step,
        "skipped": fit.skipped,
        "seconds": sum(r["seconds"] for r in rows),
        "last": rows[-1] if rows else {},
    }
    record = {
        "sources": [{"model": m.name, "encoder": m.encoder} for m in loader.sources()],
        "method": method.name,
        "objective": dataclasses.asdict(method.objective),
        "task": task.name,
        "data_fingerprint": task.fingerprint,
        "seed": seed,
        "steps": fit.step,
        "library_version": __version__,
    }
    fit.prompt.to_artifact(record).save_pretrained(run.path(f"prompts/{child.folder.name}"))
    child.write_results(summary)
    child.drop_checkpoint()
    lines = [
        {"run": f.name, **row}
        for f in sorted(run.path("fits").iterdir())
        for row in Run(f).metrics()
    ]
    write_atomically(
        run.path("metrics.jsonl"), "".join(json.dumps(line) + "\n" for line in lines).encode()
    )


def _row(step: Step) -> dict[str, Any]:
    """A line of ``metrics.jsonl``."""
    row = {
        "step": step.index,
        "loss": step.loss,
        **step.losses,
        "lr": step.lr,
        "skipped": step.skipped,
        "seconds": round(step.seconds, 4),
        "gradient_norm": step.gradient_norms,
    }
    if step.gradient_cosines:
        row["gradient_cosine"] = step.gradient_cosines
    if len(step.per_model) > 1:
        row["per_model"] = step.per_model
    return row


def _to_checkpoint(state: FitState) -> Checkpoint:
    return Checkpoint(
        state.step,
        {name: t.numpy() for name, t in state.tensors.items()},
        {"skipped": state.skipped},
    )


def _from_checkpoint(checkpoint: Checkpoint) -> FitState:
    tensors = {name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()}
    return FitState(checkpoint.step, tensors, int(checkpoint.values["skipped"]))


def _judge(
    config: StudyConfig, run: Run, loader: _Loader, tasks: Sequence[Task], started: float
) -> Iterator[Progress]:
    prompts: dict[str, list[VisualPrompt]] = {
        m: [load_prompt(run.path(f"prompts/{m}-s{s}")) for s in config.seeds]
        for m in config.methods
    }
    next(reversed(prompts.values()))[0].save_pretrained(run.path("prompt"))
    notes = [
        note
        for name in config.methods
        for note in balance_notes(resolve_method(config, name), run.metrics())
    ]
    yield from judge_into(
        run, prompts, loader.targets, config.sources, tasks, config.evaluate, started, notes
    )


def balance_notes(method: Method, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to know of the weights λ₁ and λ₂ (TVP Eq. 6): a sentence for each term that hardly pulls
    on the prompt, or drowns the task.

    Args:
        rows: lines of the study's ``metrics.jsonl``; those of diagnosed steps hold each term's
            gradient norm.
    """
    norms = [
        r["gradient_norm"]
        for r in rows
        if r["run"].startswith(f"{method.name}-s") and TASK in r["gradient_norm"]
    ]
    notes = []
    for term, words, key in (
        (CONSISTENCY, "feature consistency", "consistency_weight"),
        (ENRICHMENT, "enrichment", "enrichment_weight"),
    ):
        ratios = [n[term] / n[TASK] for n in norms if term in n and n[TASK] > 0]
        if ratios and not SLIGHT <= (ratio := statistics.median(ratios)) <= DROWNING:
            effect = "so it hardly counts" if ratio < SLIGHT else "so the task hardly counts"
            weight = getattr(method.objective, key)
            pull = f"{ratio:.2g} times the task's gradient (median over logged steps)"
            notes.append(
                f"{method.name}: {words} pulls on the prompt with {pull}, {effect};"
                f" methods.{method.name}.{key} is {weight:g}."
            )
    return notes


def _task(config: TaskConfig, data_dir: Path | None) -> Task:
    task = load_task(
        config.name, data_dir=data_dir, train=config.train, test=config.test, seed=config.seed
    )
    return (
        task if config.held_out is None else task.validation_split(config.held_out, config.seed)[1]
    )
