"""Look into the models of a finished study: what its prompts do to their features and gradients.

It is a study of units as every other: one for each model, kept in the run folder, so that it goes
on where it was stopped, and a model added later is all that is new.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Image

from matboard.errors import ConfigError, RunError, UnknownName
from matboard.extras import require
from matboard.prompts.artifact import load_prompt
from matboard.results import AnalysisResults, TransferResults
from matboard.results.analysis import DrawnPicture, View
from matboard.results.shown import PromptFacts
from matboard.results.transfer import Precision
from matboard.runs import address, replace_atomically, write_atomically
from matboard.studies.analyse.inside import Inside, Subject, picture_of
from matboard.studies.engine import Executor, Together
from matboard.studies.finished import Finished
from matboard.studies.loading import Models
from matboard.studies.progress import Progress
from matboard.tasks.task import Sample, Task
from matboard.transfer.conditions import (
    EVERYWHERE,
    Learned,
    Showing,
    conditions,
)

ANALYSIS = "analysis.json"
FOLDER = "analysis"
MOST = 6
"""Learned prompts that are looked at where none are named: more fill a page (guess)."""
GRADED = 32
"""Pictures whose gradients are taken, of those whose features are (guess: a mean over 32)."""
DRAWN = 2
"""Of these, those whose maps are drawn: the first, picked before anybody saw them."""
TAPS = ("vision", "qformer", "projector")
"""Where features can be read; see `HasFeatures`."""
KEPT = ("full", "shrunk")
"""Baselines that are looked at: an unlearned border of noise is nobody's question."""


@dataclass(frozen=True)
class Wanted:
    """What to look at.

    Attributes:
        models: of the study; all where empty.
        methods: names of its learned prompts; the first `MOST` where empty.
        task: one of those it was judged on; the first where None.
        pictures: of its test part, at most.
        tap: where features are read.
    """

    models: Sequence[str] = ()
    methods: Sequence[str] = ()
    task: str | None = None
    pictures: int = 200
    tap: str = "vision"


def analyse(folder: Path, wanted: Wanted) -> Iterator[Progress]:
    """Measure, and write ``analysis.json`` into the run folder of a study.

    Raises:
        RunError: the folder holds no finished study of pixel prompts, or a prompt is gone.
        UnknownName: a model, prompt or task that the study has not, or no such tap.
        ConfigError: too few pictures.
        MissingExtra: scikit-learn is not installed.
    """
    require("sklearn")
    started = time.perf_counter()
    if wanted.pictures < DRAWN + 1:
        raise ConfigError(
            f"{wanted.pictures} pictures were asked for; an analysis needs at least {DRAWN + 1}."
        )
    if wanted.tap not in TAPS:
        raise UnknownName("tap", wanted.tap, TAPS)
    study = _Study.read(folder)
    task = study.task(wanted).limited(test=wanted.pictures)
    shown, notes = study.showings(wanted, task.name)
    names = _chosen("model", wanted.models, [m.name for m in study.results.models])
    subject = Subject(
        task.test,
        tuple(shown),
        graded=min(GRADED, len(task.test)),
        drawn=min(DRAWN, len(task.test)),
        tap=wanted.tap,
    )
    parts = study.content(subject, task)
    units = [
        Inside(
            folder / FOLDER,
            address([*parts, name, study.settings(name)]),
            name,
            study.precision,
            study.models,
            subject,
        )
        for name in names
    ]
    executor: Executor = Together(folder)
    yield from executor.run(units)
    analysed = [unit.found for unit in units]
    results = AnalysisResults(
        task=task.name,
        classes=subject.classes,
        labels=subject.labels,
        graded=subject.graded,
        views=tuple(_view(showing) for showing in shown),
        pictures=tuple(_drawn(folder, subject)),
        models=tuple(found for found in analysed if found is not None),
        notes=tuple(notes),
        made_from=address([*parts, *names]),
        seconds=round(time.perf_counter() - started, 1),
    )
    text = results.model_dump_json(by_alias=True)
    write_atomically(folder / ANALYSIS, text.encode())
    yield Progress("write", 1, 1)


@dataclass(frozen=True)
class _Study:
    """A finished study: its results, and what it was asked."""

    folder: Path
    results: TransferResults
    judged: Sequence[Task]
    models: Models
    precision: Precision

    @classmethod
    def read(cls, folder: Path) -> _Study:
        found = Finished.read(folder)
        models = Models(found.models)
        return cls(folder, found.results, found.judged, models, found.precision)

    def task(self, wanted: Wanted) -> Task:
        """The task whose test pictures are looked at."""
        by_name = {task.name: task for task in self.judged}
        asked = [] if wanted.task is None else [wanted.task]
        return by_name[_chosen("task of the study", asked, list(by_name))[0]]

    def settings(self, model: str) -> dict[str, Any]:
        """What decides how a model answers, beside its name."""
        return self.models.settings([model])

    def showings(self, wanted: Wanted, task: str) -> tuple[list[Showing], list[str]]:
        """The untouched and the shrunk pictures, and each method's first prompt for that task; and
        what was left out.
        """
        first: dict[str, PromptFacts] = {}
        methods = {method.name for method in self.results.methods}
        for facts in self.results.prompts:
            if facts.condition in methods and facts.task in (None, task):
                first.setdefault(facts.condition, facts)
        chosen = _chosen("prompt of the study", wanted.methods, list(first))
        notes = []
        if not wanted.methods and len(chosen) > MOST:
            left = ", ".join(chosen[MOST:])
            notes.append(
                f"Of {len(chosen)} kinds of prompts the first {MOST} were looked at; --methods"
                f" names others: {left}."
            )
            chosen = chosen[:MOST]
        learned = [self._learned(first[name]) for name in chosen]
        shown = []
        for showing in conditions(learned):
            if showing.facts.baseline in (None, *KEPT):
                shown.append(showing)
        return shown, notes

    def _learned(self, facts: PromptFacts) -> Learned:
        condition = self.results.condition(facts.condition)
        prompt = load_prompt(str(self.folder / facts.folder))
        return Learned(
            name=facts.condition,
            prompts={EVERYWHERE: (prompt,)},
            label=condition.label,
            method=condition.method,
            seeds=() if facts.seed is None else (facts.seed,),
        )

    def content(self, subject: Subject, task: Task) -> list[Any]:
        """All that decides what is measured, the model aside."""
        prompts = []
        for showing in subject.shown:
            prompt = showing.at()[0]
            prompts.append(None if prompt is None else prompt.fingerprint)
        facts = asdict(replace(subject, samples=(), shown=()))
        return [prompts, task.test_fingerprint, facts, self.precision]


def _chosen(kind: str, asked: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in asked:
        if name not in known:
            raise UnknownName(kind, name, known)
    if not known:
        raise RunError(f"The study has no {kind} to look at.")
    return list(dict.fromkeys(asked)) or list(known)


def _view(showing: Showing) -> View:
    facts = showing.facts
    learned = facts.role == "method"
    return View(
        name=facts.name,
        label=facts.label,
        baseline=facts.baseline,
        seed=facts.seeds[0] if learned and facts.seeds else None,
    )


def _drawn(folder: Path, subject: Subject) -> Iterator[DrawnPicture]:
    """Write the drawn pictures as they are shown; they are the same for every model."""
    for number, sample in enumerate(subject.samples[: subject.drawn]):
        files = []
        for place, showing in enumerate(subject.shown):
            name = f"{FOLDER}/picture-{number}-{place}.jpg"
            picture = picture_of(showing, sample, subject.canvas)
            replace_atomically(folder / name, partial(_save, picture))
            files.append(name)
        yield _described(sample, files)


def _save(picture: Image, path: Path) -> None:
    picture.save(path, format="JPEG", quality=90)


def _described(sample: Sample, files: Sequence[str]) -> DrawnPicture:
    return DrawnPicture(
        question=sample.question, answer=sample.answer, shown=tuple(files)
    )
