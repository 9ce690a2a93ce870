"""Work on a study that somebody began: whatever is left of it in its run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matboard.errors import RunError
from matboard.runs import CONFIG, Run
from matboard.studies.config import (
    ContinualConfig,
    EvaluateConfig,
    ModelConfig,
    StudyConfig,
)
from matboard.studies.evaluate import evaluate
from matboard.studies.progress import Progress
from matboard.studies.prompts import study
from matboard.studies.reading import parse
from matboard.studies.streams import continual


def work(folder: Path) -> Iterator[Progress]:
    """Take units of a study until it is finished, beside whoever else does; see `leases`.

    Args:
        folder: its run folder. Files and folders that its configuration names by a relative path
            are looked for from where this process stands.

    Raises:
        RunError: no study of prompts or of a stream, and no judging, was begun there.
        InputError: whatever the configuration names cannot be had here.
    """
    run = Run(folder)
    if not run.path(CONFIG).exists():
        raise RunError(
            f"{folder} holds no study. Begin one with matboard fit, matboard continual or matboard"
            f" evaluate and --out {folder}; then any number of workers can join."
        )
    asked = run.config()
    store = run.store
    origin = str(run.path(CONFIG))
    if "search" in asked:
        raise RunError(
            f"{folder} is a search. Give its matboard search command again to join it, with the"
            " storage that it names."
        )
    if "learners" in asked:
        return continual(parse(ContinualConfig, asked, origin), folder, store=store)
    if "methods" in asked:
        return study(parse(StudyConfig, asked, origin), folder, store=store)
    if asked.keys() - {"options"} == {"prompts", "evaluate"}:
        return _judged(asked, folder, origin)
    raise RunError(
        f"{folder} is no study that workers share; give the folder that --out named, of matboard"
        " fit, continual or evaluate."
    )


def _judged(asked: Mapping[str, Any], folder: Path, origin: str) -> Iterator[Progress]:
    config = parse(EvaluateConfig, asked["evaluate"], origin, under="evaluate")
    options = parse(ModelConfig, asked.get("options", {}), origin, under="options")
    return evaluate(
        list(asked["prompts"]),
        config.models,
        [task.name for task in config.tasks],
        folder,
        test=config.tasks[0].test,
        scorers=config.scorers,
        precision=config.precision or "float32",
        batch_size=config.batch_size,
        options=options if "options" in asked else None,
    )
