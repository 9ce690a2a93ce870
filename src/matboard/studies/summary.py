"""What a configuration asks for, in a sentence, once it has been checked whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.reading import load_config, raw_config
from matboard.studies.variants import fit_variants, learner_variants


def summary(path: Path, words: Sequence[str]) -> str:
    """A study's size. Raises ConfigError for whatever is wrong with it."""
    if "learners" in raw_config(path, words):
        return _of_stream(load_config(path, words, ContinualConfig))
    return _of_prompts(load_config(path, words, StudyConfig))


def _of_prompts(config: StudyConfig) -> str:
    variants = fit_variants(config)
    tasks = config.tasks or [config.task.name]
    fits = len(variants) * len(config.seeds) * len(tasks)
    sources = dict.fromkeys(
        name for variant in variants for name in variant.settings.sources
    )
    models = dict.fromkeys([*sources, *config.evaluate.models])
    names = ", ".join(variant.name for variant in variants)
    return (
        f"a study of pixel prompts for matboard fit: {_count(len(variants), 'variant')} ({names}),"
        f" {_count(len(config.seeds), 'seed')}, {_count(fits, 'fit')} on {', '.join(sources)},"
        f" judged on {_count(len(models), 'model')}. Nothing is wrong with it."
    )


def _of_stream(config: ContinualConfig) -> str:
    learners = learner_variants(config)
    names = ", ".join(learner.name for learner in learners)
    runs = len(learners) * len(config.seeds)
    return (
        f"a study over a stream for matboard continual: {_count(len(learners), 'learner')}"
        f" ({names}), {_count(len(config.seeds), 'seed')}, {_count(runs, 'run')}. Nothing is wrong"
        " with it."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
