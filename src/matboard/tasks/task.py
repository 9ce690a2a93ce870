"""A task: pictures, questions, answers, and how answers are scored.

Splits come from the training part only, seeded and without replacement; the test part is touched
once, at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from PIL.Image import Image

from matboard.errors import TaskError, shown
from matboard.metrics import METRICS
from matboard.tasks.content import digests
from matboard.tasks.draws import balanced_indices


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
        file: the file that holds the picture, where there is one; its content is part of the
            task's fingerprint.
        accepted: answers that count as right besides ``answer``; learned is ``answer``.
        votes: how many people gave each of ``right``; none where that is not known.

    Raises:
        TaskError: no id, question or answer; fewer than two candidates, an empty or a repeated one;
            an answer not among them; votes for something else; characters that are no text.
    """

    id: str
    load: Callable[[], Image] = field(repr=False)
    question: str
    answer: str
    candidates: tuple[str, ...] = ()
    caption: str = ""
    group: str = ""
    file: Path | None = None
    accepted: tuple[str, ...] = ()
    votes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if wrong := self._wrong() or self._wrong_candidates():
            raise TaskError(f"Sample {shown(self.id)} {wrong}")

    def _wrong(self) -> str | None:
        if not self.id.strip():
            return "has no id; give every sample its own."
        if not self.question.strip():
            return (
                "has an empty question; write one, or leave it out to ask the default."
            )
        if not self.answer.strip():
            return "has an empty answer; write one, or remove the sample."
        if not all(answer.strip() for answer in self.accepted):
            return "has an empty one among its accepted answers; remove it."
        if self.votes and len(self.votes) != len(self.right):
            return f"has {len(self.votes)} votes for {len(self.right)} answers; give each its own."
        texts = [self.id, self.question, self.caption, *self.right, *self.candidates]
        for text in texts:
            if not is_text(text):
                return f"has characters that are no text (half a surrogate pair): {shown(text)}."
        return None

    def _wrong_candidates(self) -> str | None:
        if not self.candidates:
            return None
        if len(self.candidates) == 1:
            return f"has one candidate, {shown(self.candidates[0])}; ranking needs at least two."
        for position, candidate in enumerate(self.candidates, start=1):
            if not candidate.strip():
                return f"has an empty candidate at position {position}; remove it."
        if len(set(self.candidates)) < len(self.candidates):
            repeated = Counter(self.candidates).most_common(1)[0][0]
            return f"has the candidate {shown(repeated)} more than once; candidates must differ."
        if self.answer not in self.candidates:
            return (
                f"has the answer {shown(self.answer)}, which is not among its candidates:"
                f" {_listed(self.candidates)}."
            )
        return None

    @property
    def right(self) -> tuple[str, ...]:
        """Every answer that counts as right, the one that is learned first."""
        return (self.answer, *self.accepted)

    @property
    def label(self) -> int:
        """Index of the answer among the candidates. Raises TaskError for an open answer."""
        if not self.candidates:
            raise TaskError(
                f"Sample {self.id!r} has an open answer and so no label; give it candidates, or"
                " score what is generated."
            )
        return self.candidates.index(self.answer)

    @property
    def labels(self) -> tuple[int, ...]:
        """Indices of all right answers among the candidates; `label` comes first. Raises TaskError
        for an open answer.
        """
        label = self.label
        others = []
        for index, candidate in enumerate(self.candidates):
            if candidate in self.accepted and index != label:
                others.append(index)
        return (label, *others)


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
        metric: a name of ``METRICS``; ``accuracy`` (arg-max of the candidates), ``auc`` (two
            candidates [negative, positive], score = log p(positive) − log p(negative)) and ``f1``
            (of the positive, second candidate) are ours.
        also: metrics that are told beside it.
        mirror: whether a horizontal flip keeps the answer true (not for text, digits, left and
            right).
        skipped: pictures that reading left out.
        notes: sentences for a person on what reading decided (a split it made, how many pictures it
            skipped).
        condition: what was done to the samples of the test part, for training samples that are held
            out to be judged on.

    Raises:
        TaskError: an empty part, two samples of one id, or candidates that do not fit the metric.
        UnknownName: no such metric.
    """

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    metric: str = "accuracy"
    mirror: bool = True
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    condition: Callable[[Sample], Sample] | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, samples in (("training", self.train), ("test", self.test)):
            if not samples:
                raise TaskError(
                    f"Task {self.name!r} has no {part} samples; it needs at least one."
                )
        counted = Counter(sample.id for sample in (*self.train, *self.test))
        repeated, times = counted.most_common(1)[0]
        if times > 1:
            raise TaskError(
                f"Task {self.name!r} has {times} samples of the id {shown(repeated)}; results are"
                " stored by id, so ids must differ."
            )
        for metric in (self.metric, *self.also):
            needed = METRICS.load(metric).candidates
            if needed is not None:
                self._check_same_candidates(metric, needed)

    def _check_same_candidates(self, metric: str, count: int) -> None:
        first = self.test[0]
        for sample in (*self.train, *self.test):
            if len(sample.candidates) != count or sample.candidates != first.candidates:
                raise TaskError(
                    f"Metric {metric!r} needs the same {count} candidates, in the same order"
                    f" ([negative, positive] where it is two), for every sample of task"
                    f" {self.name!r}, but sample {shown(sample.id)} has"
                    f" {shown(list(sample.candidates))} and {shown(first.id)} has"
                    f" {shown(list(first.candidates))}."
                )
            if len(sample.labels) > 1:
                raise TaskError(
                    f"Metric {metric!r} needs one right answer a sample, but sample"
                    f" {shown(sample.id)} of task {self.name!r} accepts {shown(sample.right)}."
                )

    def __repr__(self) -> str:
        return (
            f"Task({self.name}: {len(self.train)} training and {len(self.test)} test"
            f" samples, {self.metric})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over what is learned from and judged by: the metric, mirroring, and both
        parts' fingerprints. Equal wherever the task's files lie.
        """
        facts = (
            self.metric,
            self.mirror,
            self.train_fingerprint,
            self.test_fingerprint,
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def train_fingerprint(self) -> str:
        """SHA-256 (hex) of the training part; see `test_fingerprint`."""
        return _fingerprint(self.train)

    @cached_property
    def test_fingerprint(self) -> str:
        """SHA-256 (hex) over the test part's samples in order: id, question, answers, candidates,
        caption, and the content of the picture's file as it is when first asked (see `content`).

        Pictures without a file are known by their ids.
        """
        return _fingerprint(self.test)

    def validation_split(self, fraction: float, seed: int) -> tuple[Task, Task]:
        """(task with less to train on, task whose test part is the held-out training samples);
        balanced by group, and shown under the task's condition.
        """
        count = max(1, round(fraction * len(self.train)))
        held = set(balanced_indices([s.group for s in self.train], count, seed))
        if len(held) >= len(self.train):
            raise TaskError(
                f"Task {self.name!r} has {len(self.train)} training samples: holding out"
                f" {len(held)} leaves none."
            )
        kept = tuple(s for i, s in enumerate(self.train) if i not in held)
        out = tuple(s for i, s in enumerate(self.train) if i in held)
        if self.condition is not None:
            out = tuple(map(self.condition, out))
        return replace(self, train=kept), replace(self, train=kept, test=out)

    def limited(
        self, train: int | None = None, test: int | None = None, seed: int = 0
    ) -> Task:
        """At most so many samples of each part, drawn without replacement, balanced by group, in
        the original order.
        """
        check_limits(self.name, train, test)
        fewer = _take(self.train, train, seed)
        return replace(self, train=fewer, test=_take(self.test, test, seed))


def check_limits(name: str, train: int | None, test: int | None) -> None:
    """See that a task is asked for at least one sample of each part. Raises TaskError."""
    for part, count in (("train", train), ("test", test)):
        if count is not None and count < 1:
            raise TaskError(
                f"The {part} part of task {name!r} was limited to {count} samples; ask for at"
                " least 1."
            )


def sample_fingerprints(samples: Sequence[Sample]) -> list[str]:
    """SHA-256 (hex) of each sample: what it asks about which picture, as `Task.test_fingerprint`
    has them all.
    """
    return [hashlib.sha256(line).hexdigest() for line in _lines(samples)]


def _fingerprint(samples: Sequence[Sample]) -> str:
    return hashlib.sha256(b"".join(_lines(samples))).hexdigest()


def _lines(samples: Sequence[Sample]) -> list[bytes]:
    """What each sample is, in a line."""
    contents = digests(sample.file for sample in samples)
    lines = []
    for sample in samples:
        facts = [
            sample.id,
            sample.question,
            sample.right,
            sample.candidates,
            sample.caption,
            contents[sample.file],
            *([sample.votes] if sample.votes else []),
        ]
        lines.append(f"{json.dumps(facts)}\n".encode())
    return lines


def _take(
    samples: tuple[Sample, ...], count: int | None, seed: int
) -> tuple[Sample, ...]:
    if count is None or count >= len(samples):
        return samples
    drawn = balanced_indices([s.group for s in samples], count, seed)
    return tuple(samples[i] for i in sorted(drawn))


def is_text(text: str) -> bool:
    """Whether it can be written down: a lone half of a surrogate pair cannot."""
    return text.isascii() or text.encode(errors="replace").decode() == text


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(shown(name, 40) for name in names[:10])
    return f"{few} … ({len(names)} in all)" if len(names) > 10 else few
