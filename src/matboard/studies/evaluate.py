"""Judge a prompt that exists: the second journey, from a saved prompt to a transfer table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matboard.errors import ConfigError
from matboard.models.devices import called, device_of, precision_of
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.results.shown import PromptFacts
from matboard.runs import Run, address
from matboard.studies.config import EvaluateConfig, ModelConfig
from matboard.studies.engine import Together, already_made
from matboard.studies.judging import Judging
from matboard.studies.loading import Models, load_distinct, with_options
from matboard.studies.progress import Progress
from matboard.studies.reading import parse
from matboard.transfer.conditions import (
    BASELINES,
    EVERYWHERE,
    Learned,
)
from matboard.transfer.evaluate import check_tasks

NAME = "prompt"
"""What the prompt is called in its table."""


def evaluate(
    prompt: str,
    models: Sequence[str],
    tasks: Sequence[str],
    out: Path,
    *,
    test: int | None = None,
    scorers: Sequence[str] = ("ranking",),
    precision: str | None = None,
    batch_size: int = 32,
    device: str | None = None,
    options: ModelConfig | None = None,
) -> Iterator[Progress]:
    """Write a run folder with the transfer table of one prompt.

    Args:
        precision: of the models' weights; bfloat16 on a GPU and float32 on a CPU, if None.
        device: where models run; a GPU where there is one, if None.
        options: what every model is loaded with.

    Raises:
        InputError: whatever cannot be had, before anything heavy starts.
    """
    started = time.perf_counter()
    where = device_of(device)
    precision = precision or precision_of(where)
    config = _config(models, tasks, test, scorers, precision, batch_size)
    learned = load_prompt(prompt)
    loaded = load_distinct(config.tasks)
    check_tasks(loaded, config.scorers)
    asked_of = with_options({}, config.models, options or ModelConfig())
    loading = Models(asked_of, device)
    loading.look_up(config.models, [])
    asked: dict[str, Any] = {
        "prompt": prompt,
        "evaluate": config.model_dump(mode="json"),
    }
    if options is not None:
        asked["options"] = options.model_dump(exclude_none=True)
    data = [task.test_fingerprint for task in loaded]
    made_from = address([asked, learned.fingerprint, data])
    if already_made(Run(out), made_from):
        yield Progress("judge", 1, 1, "found")
        return
    run = Run.open(out, asked)
    learned.save_pretrained(run.path("prompt"))
    judging = Judging(
        run=run,
        store=out,
        variants=[_learned(learned)],
        sources=_sources(learned, config.models),
        models=config.models,
        tasks=loaded,
        config=config,
        precision=config.precision or "float32",
        device=called(where),
        prompts=[_facts(learned)],
        made_from=made_from,
    )
    targets = loading.judged(config.models, judging.precision)
    yield from judging.carry_out(targets, Together(out), started)


def _config(
    models: Sequence[str],
    tasks: Sequence[str],
    test: int | None,
    scorers: Sequence[str],
    precision: str,
    batch_size: int,
) -> EvaluateConfig:
    for what, given in (("models", models), ("tasks", tasks), ("scorers", scorers)):
        if not given:
            raise ConfigError(f"No {what} were given; name at least one.")
    asked = {
        "models": list(models),
        "tasks": [{"name": task, "test": test} for task in tasks],
        "scorers": list(scorers),
        "precision": precision,
        "batch_size": batch_size,
    }
    return parse(EvaluateConfig, asked, "", under="evaluate")


def _learned(prompt: VisualPrompt) -> Learned:
    method = prompt.config.get("method")
    seed = prompt.config.get("seed")
    return Learned(
        name=NAME,
        prompts={EVERYWHERE: (prompt,)},
        label=_label(method),
        method=method if isinstance(method, str) else None,
        seeds=(seed,) if isinstance(seed, int) else (),
    )


def _label(method: object) -> str:
    """The method in capitals, as the prompt's own record names it."""
    if not isinstance(method, str) or not method.strip() or method in BASELINES:
        return NAME
    return method.upper()


def _facts(prompt: VisualPrompt) -> PromptFacts:
    learned = _learned(prompt)
    return PromptFacts(
        condition=NAME,
        method=learned.method,
        seed=learned.seeds[0] if learned.seeds else None,
        folder="prompt",
        geometry=prompt.geometry,
    )


def _sources(prompt: VisualPrompt, models: Sequence[str]) -> list[str]:
    """Which of the models the prompt's own record says it was learned on."""
    recorded = prompt.config.get("sources", [])
    named = [source.get("model") for source in recorded if isinstance(source, dict)]
    return [name for name in models if name in named]
