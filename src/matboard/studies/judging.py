"""Judge prompts on models and tasks, and write what came out; every score is kept as it comes, so
nothing is judged twice, and several processes can share the work.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matboard.models.capabilities import FrozenModel
from matboard.prompts.record import Score
from matboard.results.shown import PromptFacts
from matboard.results.transfer import Cell, Precision, Scorer, TransferResults
from matboard.runs import Run, replace_atomically
from matboard.studies.config import EvaluateConfig
from matboard.studies.engine import Executor, Unit, alone, already_made
from matboard.studies.examples import examples
from matboard.studies.progress import Progress
from matboard.tasks.task import Task
from matboard.transfer.conditions import FULL, Learned, Showing, conditions
from matboard.transfer.evaluate import Judged, ScoreStore, judge, units
from matboard.transfer.table import Scored, TransferTable


@dataclass(frozen=True)
class Judging:
    """What is judged, on what, and where it is written.

    Attributes:
        run: the study's run folder.
        store: the folder that holds ``scores``.
        variants: prompts to be judged.
        models: names of all models; ``load`` gives them, in this order.
        prompts: what the results say of the prompts.
        shipped: of which prompt the run folder's ``prompt`` is a copy.
        precision: of the models' weights.
        device: where they run, as the results name it.
        notes: for readers of the table.
        made_from: content address of all that decides the results.
    """

    run: Run
    store: Path
    variants: Sequence[Learned]
    sources: Sequence[str]
    models: Sequence[str]
    tasks: Sequence[Task]
    config: EvaluateConfig
    title: str = ""
    precision: Precision = "float32"
    device: str = ""
    prompts: Sequence[PromptFacts] = ()
    shipped: PromptFacts | None = None
    notes: Sequence[str] = ()
    made_from: str = ""

    def carry_out(
        self, load: Iterable[FrozenModel], executor: Executor, started: float
    ) -> Iterator[Progress]:
        """Judge everything and write ``results.json``."""
        shown = conditions(self.variants)
        table = TransferTable(tuple(self.sources), tuple(self.tasks), tuple(shown))
        scores = FolderStore(self.store / "scores")
        total = sum(self._pieces(model, shown) for model in self.models)
        done = 0
        settings = []
        closed = []
        kept: dict[tuple[str, str, str, str], list[str]] = {}
        yield Progress("judge", 0, total)
        for model in load:
            asked = units(table, model, self.config.scorers, self.precision)
            pieces = [
                JudgedUnit(unit, scores, self.config.batch_size) for unit in asked
            ]
            before = done
            if model.closed:
                closed.append(model.name)
            if model.settings:
                settings.append(f"{model.name} answers by {model.settings}.")
            for event in executor.run(pieces):
                done += event.done == event.total
                yield Progress("judge", done, total, event.detail)
            for piece in pieces:
                unit = piece.unit
                scored = judge(unit, scores, self.config.batch_size)
                table.add(model, unit.task, unit.showing, unit.scorer, scored)
                name = table.task_name(unit.task)
                place = model.name, name, unit.showing.name, unit.scorer
                kept.setdefault(place, []).append(piece.address)
            done = before + len(pieces)
            yield Progress("judge", done, total, model.name)
        with alone(self.run):
            if not already_made(self.run, self.made_from):
                self._write(table, settings, closed, kept, started)
        yield Progress("write", 1, 1)

    def _pieces(self, model: str, shown: Sequence[Showing]) -> int:
        """How much is asked of one model."""
        prompts = 0
        for task in self.tasks:
            prompts += sum(len(showing.at(model, task.name)) for showing in shown)
        return prompts * len(self.config.scorers)

    def _write(
        self,
        table: TransferTable,
        settings: Sequence[str],
        closed: Sequence[str],
        kept: Mapping[tuple[str, str, str, str], Sequence[str]],
        started: float,
    ) -> None:
        """The prompts with their scores, then the results, which say that all is there."""
        for facts in self.prompts:
            showing = next(one for one in table.shown if one.name == facts.condition)
            place = (
                showing.facts.seeds.index(facts.seed) if facts.seed is not None else 0
            )
            prompt = showing.at(facts.model, facts.task)[place]
            if prompt is not None:
                told = prompt.with_scores(
                    _scores(table, facts, place, self.config.scorers)
                )
                told.save_pretrained(self.run.path(facts.folder))
                if facts == self.shipped:
                    told.save_pretrained(self.run.path("prompt"))
        results = table.results()
        precision = self.precision if len(closed) < len(self.models) else None
        rounded = _precision_notes(precision, closed)
        notes = [*self.notes, *rounded, *settings, *table.notes()]
        for task in self.tasks:
            notes += task.notes
        said: TransferResults = results.model_copy(
            update={
                "title": self.title,
                "cells": tuple(_where(cell, kept) for cell in results.cells),
                "prompts": tuple(self.prompts),
                "examples": tuple(examples(self.run, table, self.config.examples)),
                "notes": tuple(dict.fromkeys(notes)),
                "made_from": self.made_from,
                "precision": precision,
                "device": self.device if precision else "",
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
        self.run.write_results(said.as_json())


def _where(cell: Cell, kept: Mapping[tuple[str, str, str, str], Sequence[str]]) -> Cell:
    """A cell that says where its scores are kept."""
    place = cell.model, cell.task, cell.condition, cell.scorer
    return cell.model_copy(update={"kept": tuple(kept.get(place, ()))})


def _precision_notes(precision: Precision | None, closed: Sequence[str]) -> list[str]:
    """What a reader must know of numbers that float32 might not give."""
    if precision in (None, "float32"):
        return []
    weights = "bfloat16"
    if precision == "mixed":
        weights = "bfloat16, but for their eyes, which were in float32"
    but = " but those behind an API" if closed else ""
    return [f"All models{but} were judged with their weights in {weights}."]


class JudgedUnit(Unit):
    """A piece of judging as the engine takes it."""

    def __init__(self, unit: Judged, scores: FolderStore, batch_size: int) -> None:
        self.unit = unit
        self.name = f"{unit.model.name} · {unit.task.name} · {unit.showing.name}"
        self.address = unit.key
        self._scores = scores
        self._batch_size = batch_size

    @property
    def folders(self) -> Iterator[Path]:
        """See `Unit.folders`."""
        yield self._scores.folder

    @property
    def finished(self) -> bool:
        """Whether its scores are kept."""
        return self._scores.get(self.address) is not None

    def work(self) -> Generator[Progress, None, None]:
        """Score it and keep that."""
        judge(self.unit, self._scores, self._batch_size)
        yield Progress("judge", 1, 1, self.name)


class FolderStore(ScoreStore):
    """Scores kept as one npz file each, named by content; a file that cannot be read counts as
    none.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def get(self, key: str) -> Scored | None:
        """See `ScoreStore.get`."""
        remembered = super().get(key)
        if remembered is not None:
            return remembered
        try:
            with np.load(self.folder / f"{key}.npz", allow_pickle=False) as kept:
                reasons = kept["reasons"].tolist() if "reasons" in kept else []
                scored = Scored(
                    kept["scores"],
                    kept["labels"],
                    tuple(kept["texts"].tolist()),
                    tuple(reasons),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        super().put(key, scored)
        return scored

    def put(self, key: str, scored: Scored) -> None:
        """See `ScoreStore.put`. Raises RunError where the disk is full."""
        arrays = {
            "scores": scored.scores,
            "labels": scored.labels,
            "texts": np.array(scored.texts, dtype=str),
        }
        if scored.reasons:
            arrays["reasons"] = np.array(scored.reasons, dtype=str)
        path = self.folder / f"{key}.npz"
        replace_atomically(path, lambda temporary: _save_npz(temporary, arrays))
        super().put(key, scored)


def _save_npz(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _scores(
    table: TransferTable, facts: PromptFacts, place: int, scorers: Sequence[Scorer]
) -> Iterator[Score]:
    """How every model that was shown a prompt did with it, for its card."""
    for model in table.models:
        for task in table.tasks:
            if facts.model not in (None, model) or facts.task not in (None, task.name):
                continue
            for scorer in scorers:
                ours = table.estimate(model, task, facts.condition, scorer, place)
                full = table.estimate(model, task, FULL, scorer)
                yield Score(
                    model=model,
                    task=table.task_name(task),
                    n=ours.n,
                    value=ours.value,
                    low=ours.low,
                    high=ours.high,
                    untouched=full.value,
                    metric=table.metric(task, scorer),
                    scorer=scorer,
                    learned_on=model == facts.model or model in table.sources,
                )
