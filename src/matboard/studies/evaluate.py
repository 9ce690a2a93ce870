"""Judge prompts that exist: the second journey, from saved prompts to a transfer table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matboard.errors import ConfigError
from matboard.models.devices import called, device_of, precision_of
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.results.shown import PromptFacts
from matboard.results.transfer import Origin
from matboard.runs import Run, address
from matboard.studies.choose.candidates import names_of
from matboard.studies.config import EvaluateConfig, ModelConfig
from matboard.studies.engine import Together, already_made
from matboard.studies.judging import Judging
from matboard.studies.loading import Models, load_distinct, with_options
from matboard.studies.progress import Progress
from matboard.studies.reading import parse
from matboard.studies.variants import UNSAFE
from matboard.transfer.conditions import (
    BASELINES,
    EVERYWHERE,
    Learned,
)
from matboard.transfer.evaluate import check_tasks

NAME = "prompt"
"""What a prompt that is judged alone is called in its table."""


def evaluate(
    prompts: Sequence[str],
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
    """Write a run folder with the transfer table of one prompt or several; each of several is a
    condition that bears the shortest end of its path that no other has.

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
    learned = _load(prompts)
    loaded = load_distinct(config.tasks)
    check_tasks(loaded, config.scorers)
    asked_of = with_options({}, config.models, options or ModelConfig())
    loading = Models(asked_of, device)
    loading.look_up(config.models, [])
    asked: dict[str, Any] = {
        "prompts": list(prompts),
        "evaluate": config.model_dump(mode="json"),
    }
    if given := (options or ModelConfig()).model_dump(exclude_none=True):
        asked["options"] = given
    data = [task.test_fingerprint for task in loaded]
    shown = {name: prompt.fingerprint for name, prompt in learned.items()}
    made_from = address([asked, shown, data])
    if already_made(Run(out), made_from):
        yield Progress("judge", 1, 1, "found")
        return
    run = Run.open(out, asked)
    facts = _facts(learned)
    for told in facts:
        learned[told.condition].save_pretrained(run.path(told.folder))
    judging = Judging(
        run=run,
        store=out,
        variants=[_learned(name, learned) for name in learned],
        sources=[name for name in config.models if name in _taught(learned)],
        models=config.models,
        tasks=loaded,
        config=config,
        precision=config.precision or "float32",
        device=called(where),
        prompts=facts,
        notes=_notes(learned),
        made_from=made_from,
    )
    targets = loading.judged(config.models, judging.precision)
    yield from judging.carry_out(targets, Together(out), started)


def _load(prompts: Sequence[str]) -> dict[str, VisualPrompt]:
    """Name in the table → prompt. Raises ConfigError where one is given twice, PromptError."""
    if not prompts:
        raise ConfigError("No prompt was given; name at least one.")
    names = [NAME] if len(prompts) == 1 else names_of(prompts)
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(
                f"The prompt {prompts[place]!r} was given twice; name it once."
            )
    return {name: load_prompt(one) for name, one in zip(names, prompts, strict=True)}


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


def _learned(name: str, prompts: Mapping[str, VisualPrompt]) -> Learned:
    """A prompt as the table has it; where it is one of several, its origin tells them apart."""
    prompt = prompts[name]
    method = prompt.config.get("method")
    seed = prompt.config.get("seed")
    alone = len(prompts) == 1
    sources = tuple(_sources(prompt))
    return Learned(
        name=name,
        prompts={EVERYWHERE: (prompt,)},
        label=_label(method) if alone else name,
        method=method if isinstance(method, str) else None,
        seeds=(seed,) if isinstance(seed, int) else (),
        origin=None if alone else Origin(variant=name, sources=sources),
    )


def _label(method: object) -> str:
    """The method in capitals, as the prompt's own record names it."""
    if not isinstance(method, str) or not method.strip() or method in BASELINES:
        return NAME
    return method.upper()


def _facts(prompts: Mapping[str, VisualPrompt]) -> list[PromptFacts]:
    """Where the run folder keeps its copies: one in ``prompt``, several in ``prompts``."""
    taken: list[str] = []
    facts = []
    for name, prompt in prompts.items():
        learned = _learned(name, prompts)
        folder = NAME if len(prompts) == 1 else f"prompts/{UNSAFE.sub('-', name)}"
        taken.append(folder)
        number = taken.count(folder)
        told = PromptFacts(
            condition=name,
            method=learned.method,
            seed=learned.seeds[0] if learned.seeds else None,
            folder=folder if number == 1 else f"{folder}-{number}",
            geometry=prompt.geometry,
        )
        facts.append(told)
    return facts


def _sources(prompt: VisualPrompt) -> list[str]:
    """Which models the prompt's own record says it was learned on."""
    recorded = prompt.config.get("sources", [])
    named = (source.get("model") for source in recorded if isinstance(source, dict))
    return [name for name in named if isinstance(name, str)]


def _taught(prompts: Mapping[str, VisualPrompt]) -> set[str]:
    """Every model that any of the prompts was learned on."""
    return {name for prompt in prompts.values() for name in _sources(prompt)}


def _notes(prompts: Mapping[str, VisualPrompt]) -> list[str]:
    """What a reader of the table must know of prompts that were learned on different models."""
    told = {name: ", ".join(_sources(prompt)) for name, prompt in prompts.items()}
    if len(set(told.values())) < 2:
        return []
    listed = "; ".join(
        f"{name} on {on or 'unknown models'}" for name, on in told.items()
    )
    return [
        f"Prompts were learned on different models ({listed}); a model that any of them was learned"
        " on counts as a source."
    ]
