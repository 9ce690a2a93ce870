"""A task: pictures, questions, answers, and how answers are scored.

Splits come from the training part only, seeded and without replacement; the test part is touched
once, at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from matboard.errors import TaskError

Metric = Literal["accuracy", "auc", "f1"]


@dataclass(frozen=True)
class Sample:
    """One picture with a question.

    Attributes:
        id: unique within its task, stable between runs.
        load: returns the decoded RGB picture; called when needed, not before.
        question: what the model is asked.
        answer: the true answer, one of ``candidates`` where there are any.
        candidates: the answers to rank, in the task's order; empty for open answers.
        caption: what a guide reads about this picture ("this is a photo of a cat").
        group: what splits are balanced by (a class or an answer).
        file: the file that holds the picture, where there is one; what kept scores are told apart
            by when it is replaced.

    Raises:
        TaskError: no id, question or answer; fewer than two candidates, an empty or a repeated one;
            an answer not among them.
    """

    id: str
    load: Callable[[], Image]
    question: str
    answer: str
    candidates: tuple[str, ...] = ()
    caption: str = ""
    group: str = ""
    file: Path | None = None

    def __post_init__(self) -> None:
        if wrong := self._wrong():
            raise TaskError(f"Sample {self.id!r} {wrong}")

    def _wrong(self) -> str | None:
        if not self.id.strip():
            return "has no id; give every sample its own."
        if not self.question.strip():
            return "has an empty question; write one, or leave it out to ask the default."
        if not self.answer.strip():
            return "has an empty answer; write one, or remove the sample."
        if not self.candidates:
            return None
        if len(self.candidates) == 1:
            return f"has one candidate, {self.candidates[0]!r}; ranking needs at least two."
        if not all(candidate.strip() for candidate in self.candidates):
            return (
                "has an empty candidate at position"
                f" {[bool(c.strip()) for c in self.candidates].index(False) + 1}; remove it."
            )
        if len(set(self.candidates)) < len(self.candidates):
            return (
                f"has the candidate {Counter(self.candidates).most_common(1)[0][0]!r} more than"
                " once; candidates must differ."
            )
        if self.answer not in self.candidates:
            return (
                f"has the answer {self.answer!r}, which is not among its candidates:"
                f" {_listed(self.candidates)}."
            )
        return None

    @property
    def label(self) -> int:
        """Index of the answer among the candidates. Raises TaskError for an open answer."""
        if not self.candidates:
            raise TaskError(
                f"Sample {self.id!r} has an open answer and so no label; give it candidates, or"
                " score what is generated."
            )
        return self.candidates.index(self.answer)


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Task:
    """Samples to learn from and samples to be judged by.

    Attributes:
        name: as the user gave it.
        train, test: the two parts as the data set's authors made them.
        metric: ``accuracy`` (arg-max of the candidates), ``auc`` (two candidates [negative,
            positive], score = log p(positive) − log p(negative)) or ``f1`` (of the positive, second
            candidate).
        mirror: whether a horizontal flip keeps the answer true (not for text, digits, left and
            right).
        skipped: pictures that reading left out.
        notes: sentences for a person on what reading decided (a split it made, how many pictures it
            skipped).

    Raises:
        TaskError: an empty part, two samples of one id, or candidates that do not fit the metric.
    """

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    metric: Metric = "accuracy"
    mirror: bool = True
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, samples in (("training", self.train), ("test", self.test)):
            if not samples:
                raise TaskError(f"Task {self.name!r} has no {part} samples; it needs at least one.")
        repeated, times = Counter(s.id for s in (*self.train, *self.test)).most_common(1)[0]
        if times > 1:
            raise TaskError(
                f"Task {self.name!r} has {times} samples of the id {repeated!r}; results are stored"
                " by id, so ids must differ."
            )
        if self.metric != "accuracy":
            self._check_two_candidates()

    def _check_two_candidates(self) -> None:
        first = self.test[0]
        for sample in (*self.train, *self.test):
            if len(sample.candidates) != 2 or sample.candidates != first.candidates:
                raise TaskError(
                    f"Metric {self.metric!r} needs the same two candidates, [negative, positive],"
                    f" for every sample of task {self.name!r}, but sample {sample.id!r} has"
                    f" {list(sample.candidates)} and {first.id!r} has {list(first.candidates)}."
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, questions, answers and candidates of both parts, in order;
        pictures are known by their ids.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(b"part\n")
            for s in part:
                digest.update(
                    json.dumps((s.id, s.question, s.answer, s.candidates)).encode() + b"\n"
                )
        return digest.hexdigest()

    @cached_property
    def stamp(self) -> str:
        """SHA-256 (hex) over size and time of change of the test part's files, as they are when
        first asked; empty where there are none.

        Not part of the fingerprint, which is equal wherever the task is: it tells whether scores
        kept on this machine still hold.
        """
        files = dict.fromkeys(s.file for s in self.test if s.file is not None)
        found = [_state(file) for file in files]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest() if found else ""

    def validation_split(self, fraction: float, seed: int) -> tuple[Task, Task]:
        """(task with less to train on, task whose test part is the held-out training samples);
        balanced by group.
        """
        held = set(
            balanced_indices(
                [s.group for s in self.train], max(1, round(fraction * len(self.train))), seed
            )
        )
        if len(held) >= len(self.train):
            raise TaskError(
                f"Task {self.name!r} has {len(self.train)} training samples: holding out"
                f" {len(held)} leaves none."
            )
        kept = tuple(s for i, s in enumerate(self.train) if i not in held)
        out = tuple(s for i, s in enumerate(self.train) if i in held)
        return replace(self, train=kept), replace(self, train=kept, test=out)

    def limited(self, train: int | None = None, test: int | None = None, seed: int = 0) -> Task:
        """At most so many samples of each part, drawn without replacement, balanced by group, in
        the original order.
        """
        for part, count in (("train", train), ("test", test)):
            if count is not None and count < 1:
                raise TaskError(
                    f"The {part} part of task {self.name!r} was limited to {count} samples; ask for"
                    " at least 1."
                )
        return replace(
            self, train=_take(self.train, train, seed), test=_take(self.test, test, seed)
        )


def _state(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" … ({len(names)} in all)" if len(names) > 10 else "")


def _take(samples: tuple[Sample, ...], count: int | None, seed: int) -> tuple[Sample, ...]:
    if count is None or count >= len(samples):
        return samples
    return tuple(
        samples[i] for i in sorted(balanced_indices([s.group for s in samples], count, seed))
    )


def balanced_indices(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """``count`` indices drawn without replacement, group sizes as equal as the data allows.

    Groups take turns, in an order drawn by lot, so that a ``count`` that does not divide evenly
    favours none by its name.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {group: [] for group in sorted(set(groups))}
    for index, group in enumerate(groups):
        members[group].append(index)
    queues = [rng.permutation(indices).tolist() for indices in members.values()]
    queues = [queues[i] for i in rng.permutation(len(queues))]
    turns = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)][:count]
