"""Judge prompts: models × tasks × conditions, always from the saved artefact through each model's
official processor. Differences are paired: the same pictures, with and without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from matboard import __version__, metrics
from matboard.errors import ConfigError, TaskError, Unanswered
from matboard.models.capabilities import FrozenModel, Generates, Ranks, require
from matboard.models.classifier import Classifier
from matboard.prompts.artifact import VisualPrompt
from matboard.results.transfer import Scorer
from matboard.tasks.task import Sample, Task
from matboard.transfer.conditions import (
    Showing,
    as_learned,
    conditions,
    show,
)
from matboard.transfer.mapping import mapping_of, taken_for
from matboard.transfer.table import VERDICTS, Scored, TransferTable, metric_of

Given = TypeVar("Given")
ABILITIES: dict[Scorer, type[FrozenModel]] = {"ranking": Ranks, "generation": Generates}
"""What a model must offer to be judged so."""


@dataclass(frozen=True)
class Judged:
    """One piece of judging: what one model says of a task's test part under one condition.

    Attributes:
        seed: which of the condition's prompts, by its place.
        precision: of the model's weights, where it is not float32.
    """

    model: FrozenModel
    task: Task
    showing: Showing
    seed: int
    scorer: Scorer
    precision: str = "float32"

    @property
    def prompt(self) -> VisualPrompt | None:
        """What is shown; None for the untouched picture."""
        return self.showing.at(self.model.name, self.task.name)[self.seed]

    @property
    def key(self) -> str:
        """Content address: the same pictures, model and prompt give the same key; a picture file
        that is replaced gives another.
        """
        shown = _shown(self.prompt)
        parts = [*self.asked, self.task.test_fingerprint, shown, self.scorer]
        if self.graded:
            parts.append("graded")
        if self.model.settings:
            parts.append(self.model.settings)
        if isinstance(self.model, Classifier):
            parts.append(self.task.train_fingerprint)
        return _address(*parts)

    @property
    def graded(self) -> bool:
        """Whether what is written may be right in part."""
        return metric_of(self.task, self.scorer) == "vqa"

    @property
    def asked(self) -> tuple[str, str, str, str]:
        """Which model, in which precision."""
        model = self.model
        return model.name, model.encoder, model.weights, self.precision


def _shown(prompt: VisualPrompt | None) -> str:
    return "untouched" if prompt is None else prompt.fingerprint


def _address(*parts: str) -> str:
    told = "\n".join((__version__, *parts))
    return hashlib.sha256(told.encode()).hexdigest()[:24]


class ScoreStore:
    """Where scores are kept: in memory here; a study keeps them in its run folder."""

    def __init__(self) -> None:
        self._kept: dict[str, Scored] = {}

    def get(self, key: str) -> Scored | None:
        """What is kept under a key, if anything."""
        return self._kept.get(key)

    def put(self, key: str, scored: Scored) -> None:
        """Keep something under a key."""
        self._kept[key] = scored


def evaluate(
    prompts: VisualPrompt
    | Sequence[VisualPrompt]
    | Mapping[str, Sequence[VisualPrompt]],
    models: FrozenModel | Iterable[FrozenModel],
    tasks: Task | Sequence[Task],
    *,
    sources: Sequence[str] = (),
    scorers: Sequence[Scorer] = ("ranking",),
    batch_size: int = 32,
    store: ScoreStore | None = None,
) -> TransferTable:
    """Judge one prompt, several seeds of one, or several variants, on models × tasks.

    Args:
        models: loaded one after another, so a generator that loads each when asked holds one in
            memory.
        sources: names of the models the prompts were learned on.

    Raises:
        TaskError: a sample has no candidates to choose from, or two tasks are the same.
        ModelError: a model lacks what a scorer needs, or came twice.
        ConfigError: something else than prompts, models and tasks came.
    """
    each_model = [models] if isinstance(models, FrozenModel) else models
    each_task = [tasks] if isinstance(tasks, Task) else list(tasks)
    check_kinds(prompts, each_model, each_task)
    shown = conditions(as_learned(prompts))
    table = TransferTable(tuple(sources), tuple(each_task), tuple(shown))
    check_tasks(table.tasks, scorers)
    kept = store or ScoreStore()
    for model in each_model:
        for unit in units(table, model, scorers):
            table.add(
                unit.model,
                unit.task,
                unit.showing,
                unit.scorer,
                judge(unit, kept, batch_size),
            )
    return table


def units(
    table: TransferTable,
    model: FrozenModel,
    scorers: Sequence[Scorer],
    precision: str = "float32",
) -> Iterator[Judged]:
    """Everything one model is asked, in the table's order.

    Raises:
        ModelError: the model lacks what a scorer needs, or another model of that name is in the
            table.
    """
    for scorer in scorers:
        require(model, ABILITIES[scorer], doing=f"judging by {scorer}")
    table.enter(model)
    for task in table.tasks:
        for showing in table.shown:
            for seed in range(len(showing.at(model.name, task.name))):
                for scorer in scorers:
                    yield Judged(model, task, showing, seed, scorer, precision)


def judge(unit: Judged, store: ScoreStore, batch_size: int = 32) -> Scored:
    """Score one unit, or find it in the store."""
    found = store.get(unit.key)
    if found is None:
        model = _mapped(unit, store, batch_size)
        found = score(
            model,
            unit.task.test,
            unit.prompt,
            unit.scorer,
            batch_size,
            graded=unit.graded,
        )
        store.put(unit.key, found)
    return found


def _mapped(unit: Judged, store: ScoreStore, batch_size: int) -> FrozenModel:
    """The unit's model, a classifier with its label mapping; what it takes training pictures for is
    kept among the scores, since seeds and conditions may share it.
    """
    model = unit.model
    if not isinstance(model, Classifier):
        return model
    samples = unit.task.train
    prompt = unit.prompt if model.rule == "iterative" else None

    def taken() -> NDArray[np.int64]:
        key = _address(
            "classes", *unit.asked, unit.task.train_fingerprint, _shown(prompt)
        )
        found = store.get(key)
        if found is None:
            pictures = (sample.load() for sample in samples)
            classes = taken_for(model, pictures, prompt, batch_size)
            found = Scored(classes[:, None].astype(np.float64), classes)
            store.put(key, found)
        return found.labels

    return model.mapped(mapping_of(model, samples, taken))


def check_tasks(tasks: Sequence[Task], scorers: Sequence[Scorer]) -> None:
    """Refuse, before anything heavy, what cannot be judged.

    Raises:
        TaskError: the same task twice, or candidates missing where they are to be ranked.
    """
    for place, task in enumerate(tasks):
        for other in tasks[:place]:
            if task.test_fingerprint == other.test_fingerprint:
                raise TaskError(
                    f"{other.name!r} and {task.name!r} are the same task; name it once. Judged"
                    " twice it would count as another seed."
                )
        if "ranking" in scorers:
            _check_candidates(task)


def _check_candidates(task: Task) -> None:
    bare = next((sample for sample in task.test if not sample.candidates), None)
    if bare is not None:
        raise TaskError(
            f"Sample {bare.id!r} of task {task.name!r} has no candidates; give it the answers to"
            " choose from, or judge what models write (scorers: generation)."
        )


def check_kinds(prompts: object, models: object, tasks: Sequence[object]) -> None:
    """Refuse names and files where the things themselves are wanted. Raises ConfigError."""
    values = list(prompts.values()) if isinstance(prompts, Mapping) else [prompts]
    for value in values:
        seeds = value if isinstance(value, Sequence) else [value]
        if isinstance(value, str) or not all(
            isinstance(p, VisualPrompt) for p in seeds
        ):
            raise ConfigError(
                f"{value!r} is no prompt; give what load_prompt returns, a list of such (one a"
                " seed), or a mapping of names to lists."
            )
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise ConfigError(
            f"{models!r} is no model; give what load_model returns, or several."
        )
    for task in tasks:
        if not isinstance(task, Task):
            raise ConfigError(
                f"{task!r} is no task; give what load_task returns, or several."
            )


def score(
    model: FrozenModel,
    samples: Sequence[Sample],
    prompt: VisualPrompt | None,
    scorer: Scorer,
    batch_size: int,
    *,
    graded: bool = False,
) -> Scored:
    """What a model says of samples with a prompt on their pictures; None: of the pictures as they
    are. What a closed model does not answer about counts as wrong, and its reason is kept.

    Args:
        graded: whether what it writes may be right in part.
    """
    widest = max(len(sample.candidates) for sample in samples)
    scores: list[NDArray[np.float64]] = []
    texts: list[str] = []
    reasons = [""] * len(samples)
    for start in range(0, len(samples), batch_size):
        part = samples[start : start + batch_size]
        pictures = [show(prompt, sample.load()) for sample in part]
        if scorer == "ranking":
            rows, silent = _rank(model, pictures, part, widest)
        else:
            said, silent = _generate(model, pictures, part)
            texts += said
            each = zip(said, part, strict=True)
            rows = np.stack([verdict(*pair, graded=graded) for pair in each])
        for place, reason in silent.items():
            rows[place] = _wrong(part[place], scorer, widest)
            reasons[start + place] = reason
        scores.append(rows)
    labels = [sample.label if scorer == "ranking" else 0 for sample in samples]
    kept = tuple(reasons) if any(reasons) else ()
    return Scored(np.concatenate(scores), np.array(labels), tuple(texts), kept)


@torch.no_grad()
def _rank(
    model: FrozenModel,
    pictures: Sequence[Image],
    samples: Sequence[Sample],
    widest: int,
) -> tuple[NDArray[np.float64], Mapping[int, str]]:
    """Candidate log-likelihoods ``sample candidate``, and why there are none of some. A sample with
    fewer candidates than others has −inf in the columns that it lacks. Where several candidates
    count as right, the first of them stands for the likeliest.
    """
    ranking = require(model, Ranks, doing="judging by ranking")
    padded = []
    for sample in samples:
        missing = widest - len(sample.candidates)
        padded.append((*sample.candidates, *sample.candidates[:1] * missing))
    questions = [sample.question for sample in samples]
    likelihoods, silent = as_far_as_answered(
        lambda: ranking.candidate_log_likelihoods(pictures, questions, padded)
    )
    scores: NDArray[np.float64] = likelihoods.double().cpu().numpy()
    for row, sample in zip(scores, samples, strict=True):
        row[len(sample.candidates) :] = -np.inf
        also_right = list(sample.labels[1:])
        row[sample.label] = row[list(sample.labels)].max()
        row[also_right] = -np.inf
    return scores, silent


@torch.no_grad()
def _generate(
    model: FrozenModel, pictures: Sequence[Image], samples: Sequence[Sample]
) -> tuple[list[str], Mapping[int, str]]:
    """Answers, and why there is none to some."""
    writing = require(model, Generates, doing="judging by generation")
    questions = [sample.question for sample in samples]
    return as_far_as_answered(lambda: writing.generate(pictures, questions))


def as_far_as_answered(
    ask: Callable[[], Given],
) -> tuple[Given, Mapping[int, str]]:
    """What a model gives, and by their places the pictures that it is silent about, with why."""
    try:
        return ask(), {}
    except Unanswered as error:
        given: Given = error.given
        return given, error.reasons


def _wrong(sample: Sample, scorer: Scorer, widest: int) -> NDArray[np.float64]:
    """The scores of a wrong answer."""
    if scorer == "generation":
        row = np.zeros(len(VERDICTS))
        row[VERDICTS.index("wrong")] = 1.0
        return row
    row = np.full(widest, -np.inf)
    row[: len(sample.candidates)] = 0.0
    if len(sample.candidates) > len(sample.labels):
        row[list(sample.labels)] = -np.inf
    return row


def verdict(text: str, sample: Sample, *, graded: bool) -> NDArray[np.float64]:
    """What an answer is worth, as shares of ``VERDICTS``.

    Args:
        graded: whether it may be right in part.
    """
    return _grade(text, sample) if graded else _verdict(text, sample)


def _verdict(text: str, sample: Sample) -> NDArray[np.float64]:
    """One-hot: right where the text gives any of the answers that count."""
    found = []
    for answer in sample.right:
        candidates = sample.candidates if answer in sample.candidates else ()
        found.append(metrics.generation_correct(text, answer, candidates))
    said = "wrong"
    if any(found):
        said = "right"
    elif all(one is None for one in found):
        said = "unparsable"
    row = np.zeros(len(VERDICTS))
    row[VERDICTS.index(said)] = 1.0
    return row


def _grade(text: str, sample: Sample) -> NDArray[np.float64]:
    """Right in so far as people gave that answer."""
    credit = metrics.vqa_credit(text, sample.right, sample.votes)
    return np.array([credit, 1 - credit, 0.0])
