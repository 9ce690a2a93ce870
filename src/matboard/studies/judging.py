"""Judge prompts on models and tasks, and write what came out; every score is kept as it comes, so
nothing is judged twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matboard import zoo
from matboard.models.capabilities import VisionLanguageModel
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.runs import Run, replace_atomically
from matboard.studies.config import EvaluateConfig, parse
from matboard.studies.progress import Progress
from matboard.tasks import load_task
from matboard.tasks.task import Task
from matboard.transfer.evaluate import (
    Condition,
    Scored,
    ScoreStore,
    TransferTable,
    conditions,
    judging,
    show,
)


def judge(
    prompt: str,
    models: Sequence[str],
    tasks: Sequence[str],
    out: Path,
    *,
    test: int | None = None,
    scorers: Sequence[str] = ("ranking",),
    batch_size: int = 32,
    data_dir: Path | None = None,
    cache: Path | None = None,
) -> Iterator[Progress]:
    """Write a run folder with the transfer table of one prompt.

    Raises:
        InputError: whatever cannot be had, before anything heavy starts.
    """
    started = time.perf_counter()
    asked = {
        "models": list(models),
        "tasks": [{"name": t, "test": test} for t in tasks],
        "scorers": list(scorers),
        "batch_size": batch_size,
    }
    config = parse(EvaluateConfig, asked, "evaluate")
    learned = load_prompt(prompt)
    loaded = [load_task(t.name, data_dir=data_dir, test=t.test) for t in config.tasks]
    zoo.look_up(config.models, cache=cache)
    run = Run.open(out, {"prompt": prompt, "evaluate": config.model_dump(mode="json")})
    learned.save_pretrained(run.path("prompt"))
    sources = [s["model"] for s in learned.config.get("sources", []) if s["model"] in config.models]
    name = str(learned.config.get("method", "prompt"))
    yield from judge_into(
        run,
        {name: [learned]},
        lambda: (zoo.load_model(m, cache=cache) for m in config.models),
        sources,
        loaded,
        config,
        started,
    )


def judge_into(
    run: Run,
    prompts: Mapping[str, Sequence[VisualPrompt]],
    models: Callable[[], Iterable[VisionLanguageModel]],
    sources: Sequence[str],
    tasks: Sequence[Task],
    config: EvaluateConfig,
    started: float,
    notes: Sequence[str] = (),
) -> Iterator[Progress]:
    """Judge prompts and write ``results.json``, keeping every score as it comes; ``notes`` are for
    readers of the table.
    """
    shown = conditions(prompts)
    table = TransferTable(tuple(sources), tasks, shown)
    names = dict.fromkeys([*sources, *config.models])
    total = len(names) * len(tasks) * sum(len(c.prompts) for c in shown) * len(config.scorers)
    store = FolderStore(run.path("scores"))
    yield Progress("judge", 0, total)
    for done, unit in enumerate(
        judging(table, models(), config.scorers, store, config.batch_size), start=1
    ):
        yield Progress(
            "judge", done, total, f"{unit.model.name} · {unit.task.name} · {unit.condition.name}"
        )
    examples = _examples(run, table, config.examples)
    run.write_results(
        {
            **table.results(),
            "examples": examples,
            "seconds": round(time.perf_counter() - started, 1),
            "notes": [*notes, *(note for task in tasks for note in task.notes)],
        }
    )


class FolderStore(ScoreStore):
    """Scores kept as one npz file each, named by content."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def get(self, key: str) -> Scored | None:
        path = self.folder / f"{key}.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as kept:
            return Scored(kept["scores"], kept["labels"], tuple(kept["texts"].tolist()))

    def put(self, key: str, scored: Scored) -> None:
        path = self.folder / f"{key}.npz"
        arrays = {
            "scores": scored.scores,
            "labels": scored.labels,
            "texts": np.array(scored.texts, dtype=str),
        }
        replace_atomically(path, lambda temporary: _save_npz(temporary, arrays))


def _save_npz(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _examples(run: Run, table: TransferTable, count: int) -> list[dict[str, Any]]:
    """The first test samples, for every model: the same ones for all, chosen before anybody saw an
    answer.
    """
    task, condition = table.tasks[0], table.shown[-1]
    picked = range(min(count, len(task.test)))
    for i in picked:
        picture = task.test[i].load()
        for c in (table.shown[0], condition):
            folder = run.path("examples")
            folder.mkdir(parents=True, exist_ok=True)
            show(c.prompts[0], picture).save(folder / f"{i}-{c.name}.png")
    return [_example(table, model, task, condition, i) for model in table.models for i in picked]


def _example(
    table: TransferTable, model: str, task: Task, condition: Condition, index: int
) -> dict[str, Any]:
    sample = task.test[index]

    def said(name: str) -> str:
        for scorer in ("ranking", "generation"):
            found = table.scored.get((model, task.name, name, scorer))
            if found:
                return (
                    found[0].texts[index]
                    if found[0].texts
                    else sample.candidates[int(found[0].scores[index].argmax())]
                )
        return ""

    return {
        "model": model,
        "task": task.name,
        "question": sample.question,
        "answer": sample.answer,
        "condition": condition.name,
        "before": said("full"),
        "after": said(condition.name),
        "picture": f"examples/{index}-full.png",
        "prompted": f"examples/{index}-{condition.name}.png",
    }
