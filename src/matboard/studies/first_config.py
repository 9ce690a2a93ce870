"""A first configuration for somebody's task: short, commented, and valid as it stands."""

from __future__ import annotations

import json
from pathlib import Path

from matboard.errors import ConfigError
from matboard.runs import write_atomically
from matboard.studies.config import StudyConfig
from matboard.studies.reference import Key, keys
from matboard.tasks import load_task
from matboard.tasks.task import Task

WIDTH = 96
"""Columns that a comment takes at most."""


def write_first(task: str, out: Path) -> None:
    """Write a configuration for a task.

    Raises:
        ConfigError: the file is there.
        TaskError, UnknownName: the task cannot be read.
    """
    if out.exists():
        raise ConfigError(
            f"{out} is there; give another --out, or delete it to have a new one."
        )
    write_atomically(out, first_config(task).encode())


def first_config(name: str) -> str:
    """The configuration's text. Raises TaskError, UnknownName."""
    task = load_task(name)
    told = {key.name: key for key in keys(StudyConfig)}
    lines = [
        f"# {task.name}: {_facts(task)}",
        "# Check this file: matboard validate FILE; every key: matboard config",
        "",
        "sources: [tiny-minigpt4]",
        "# Tiny models know drawn scenes only. For photographs name a model of your own choice,",
        "# such as Qwen/Qwen2.5-VL-3B-Instruct, or build the mini zoo: matboard zoo build mini",
        "guide: tiny-guide",
        _comment(told["guide"]),
        "task:",
        f"  name: {json.dumps(name, ensure_ascii=False)}",
        *_optional("  ", told, "task.train", "task.test"),
        "methods: {vp: {}, evp: {}, tvp: {}}",
        _comment(told["methods"]),
        "steps: 200",
        "# A try. Leave it out to learn as long as each method's paper did.",
        "prompt:",
        f"  width: {told['prompt.width'].default}",
        _comment(told["prompt.width"], "  "),
        "evaluate:",
        "  models: [tiny-blip2]",
        _comment(told["evaluate.models"], "  "),
        *_optional("  ", told, "evaluate.scorers"),
        f"seeds: {told['seeds'].default}",
        "# Three seeds or more are needed before one method may be called better than another.",
        *_optional("", told, "validation", "batch_size", "precision"),
    ]
    return "\n".join(lines) + "\n"


def _facts(task: Task) -> str:
    answers = {sample.answer for sample in (*task.train, *task.test)}
    return (
        f"{len(task.train)} training and {len(task.test)} test samples, {len(answers)} answers,"
        f" judged by {task.metric}"
    )


def _optional(indent: str, told: dict[str, Key], *names: str) -> list[str]:
    """Keys that may be left out, as comments."""
    lines = []
    for name in names:
        key = told[name]
        lines.append(f"{indent}# {name.rpartition('.')[2]}: {key.default}")
        lines.append(_comment(key, indent))
    return lines


def _comment(key: Key, indent: str = "") -> str:
    lines = [f"{indent}#"]
    for word in key.meaning.replace("``", "").split():
        if len(lines[-1]) + len(word) >= WIDTH:
            lines.append(f"{indent}#")
        lines[-1] += f" {word}"
    return "\n".join(lines)
