"""One learner with one seed over a whole stream, kept after each task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from matboard.analysis import selection
from matboard.continual.build import build_learner
from matboard.continual.eye import FrozenEye
from matboard.continual.learner import Learner, LearnStep
from matboard.continual.protocol import Stage, choices, run_stream
from matboard.metrics import AccuracyMatrix, StreamHits
from matboard.runs import Checkpoint, Run, write_atomically
from matboard.studies.progress import Progress
from matboard.tasks.stream import TaskStream


@dataclass(frozen=True)
class Left:
    """What a finished fit leaves behind, as its own ``results.json`` says it. Files lie in the
    study's folder.

    Attributes:
        parameters: how many numbers gradient descent changed.
        state_bytes: what must be kept from task to task.
        selection: None where the learner chooses from no pool.
    """

    parameters: int
    state_bytes: int
    flags: Sequence[str]
    matrix: str
    selection: str | None
    pictures: Sequence[str]

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, (self.matrix, self.selection, *self.pictures)))


@dataclass
class StreamFit:
    """One learner with one seed, over the whole stream; a part of the study in ``run``."""

    run: Run
    name: str
    seed: int
    stream: TaskStream
    options: Mapping[str, Any]
    rows: list[list[float]] = field(default_factory=list)
    predictions: list[NDArray[np.int64]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0

    @property
    def key(self) -> str:
        """Its name among the study's files."""
        return f"{self.name}-s{self.seed}"

    @property
    def child(self) -> Run:
        """Its own run folder."""
        return Run(self.run.path(f"fits/{self.key}"))

    @property
    def left(self) -> Left:
        """What it left behind, once it is finished."""
        return Left(**self.child.results())

    @property
    def finished(self) -> bool:
        """Whether everything that it should leave behind is there."""
        if not self.child.finished or not self.child.path("checkpoint.safetensors").exists():
            return False
        return all(self.run.path(name).exists() for name in self.left.files)

    def build(self, eye: FrozenEye) -> Learner:
        """The learner as it is before the first task. Raises ConfigError where its options do not
        fit the eye or each other.
        """
        own = {key: value for key, value in self.options.items() if key != "learner"}
        return build_learner(
            self.options["learner"], eye, len(self.stream.classes), seed=self.seed, **own
        )

    def learn(self, eye: FrozenEye) -> Iterator[Progress]:
        """Go on from the last task that was learned; a finished fit is only read."""
        child, stage, total = self.child, f"{self.name} (seed {self.seed})", len(self.stream.tasks)
        Run.open(
            child.folder,
            {
                "learner": dict(self.options),
                "name": self.name,
                "seed": self.seed,
                "stream": self.stream.name,
            },
        )
        checkpoint = child.load_checkpoint()
        step = self._restore(checkpoint) if checkpoint else 0
        if self.finished:
            yield Progress(stage, total, total, "found")
            return
        learner = self.build(eye)
        if checkpoint:
            learner.load_state(
                {
                    k.removeprefix("state."): torch.from_numpy(a)
                    for k, a in checkpoint.arrays.items()
                    if k.startswith("state.")
                }
            )
        yield Progress(
            stage, len(self.rows), total, "resumed" if 0 < len(self.rows) < total else ""
        )
        for event in run_stream(learner, self.stream, start=len(self.rows)):
            if isinstance(event, LearnStep):
                step += 1
                self.skipped += event.skipped
                child.log(
                    {
                        "step": step,
                        "task": len(self.rows) + 1,
                        "loss": event.loss,
                        **event.losses,
                        "skipped": self.skipped,
                    }
                )
                yield Progress(
                    stage,
                    len(self.rows),
                    total,
                    f"task {len(self.rows) + 1}, step {event.index}/{event.total}",
                )
                continue
            self._note(event)
            child.save_checkpoint(self._checkpoint(learner, step))
            yield Progress(
                stage, len(self.rows), total, f"accuracy {np.nanmean(event.accuracies):.3f}"
            )
        child.write_results(asdict(self._leave(learner)))

    def hits(self) -> StreamHits:
        """What was right after each task, in the order of the test part, the same for every seed."""
        samples = [(s, t.index) for t in self.stream.tasks for s in t.test]
        place = {s.id: i for i, s in enumerate(sorted((s for s, _ in samples), key=lambda s: s.id))}
        hits = np.zeros((len(self.rows), len(samples)), dtype=bool)
        task = np.zeros(len(samples), dtype=np.int64)
        for position, (sample, index) in enumerate(samples):
            task[place[sample.id]] = index
            for stage in range(index, len(self.rows)):
                hits[stage, place[sample.id]] = self.predictions[stage][position] == sample.label
        return StreamHits(hits, task)

    def matrix(self) -> AccuracyMatrix:
        """The accuracy matrix."""
        return AccuracyMatrix(
            np.array(self.rows), [f"{t.index + 1}: {t.name}" for t in self.stream.tasks]
        )

    def _note(self, stage: Stage) -> None:
        self.rows.append(stage.accuracies.tolist())
        self.predictions.append(stage.predictions)
        self.seconds += stage.seconds

    def _checkpoint(self, learner: Learner, step: int) -> Checkpoint:
        state = {f"state.{name}": t.contiguous().numpy() for name, t in learner.state().items()}
        said = {f"predictions.{i}": p for i, p in enumerate(self.predictions)}
        rows = [[None if np.isnan(v) else v for v in row] for row in self.rows]
        return Checkpoint(
            step,
            {**state, **said},
            {"rows": rows, "seconds": self.seconds, "skipped": self.skipped},
        )

    def _restore(self, checkpoint: Checkpoint) -> int:
        """Take up what was measured; the steps made."""
        self.rows = [[np.nan if v is None else v for v in row] for row in checkpoint.values["rows"]]
        self.predictions = [checkpoint.arrays[f"predictions.{i}"] for i in range(len(self.rows))]
        self.seconds = float(checkpoint.values["seconds"])
        self.skipped = int(checkpoint.values.get("skipped", 0))
        return checkpoint.step

    def _leave(self, learner: Learner) -> Left:
        """Write what can be looked at: the matrix, which prompts were chosen, prompts as pictures."""
        matrix = f"matrices/{self.key}.csv"
        self.run.path(matrix).parent.mkdir(parents=True, exist_ok=True)
        self.matrix().to_csv(self.run.path(matrix))
        kept = sum(t.numel() * t.element_size() for t in learner.tensors().values())
        return Left(
            learner.trainable,
            kept,
            learner.flags,
            matrix,
            self._select(learner),
            tuple(self._draw(learner)),
        )

    def _select(self, learner: Learner) -> str | None:
        made = choices(learner, self.stream)
        if made is None:
            return None
        name = f"selection/{self.key}.json"
        found = selection(made.chosen, made.similarity, made.labels, self.stream.classes)
        write_atomically(self.run.path(name), json.dumps(found.as_json()).encode())
        return name

    def _draw(self, learner: Learner) -> Iterator[str]:
        for index, picture in enumerate([] if (made := learner.pictures()) is None else made):
            name = f"pictures/{self.key}/{index}.png"
            self.run.path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(self.run.path(name))
            yield name
