"""One learner with one seed over a whole stream, kept after each task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from matboard import __version__
from matboard.analysis import selection
from matboard.continual.build import build_learner
from matboard.continual.eye import FrozenEye
from matboard.continual.learner import Learner, LearnStep
from matboard.continual.protocol import Stage, choices, run_stream
from matboard.errors import RunError
from matboard.metrics import AccuracyMatrix, StreamHits
from matboard.metrics.accuracy_matrix import FORGETTINGS
from matboard.results import (
    PlannedFit,
    SelectionResults,
    StepRow,
    StreamFitResults,
    read,
)
from matboard.results.stream import MetTask, Outcome
from matboard.runs import Checkpoint, Run, replace_atomically, write_atomically
from matboard.studies.engine import FitUnit, relative
from matboard.studies.progress import Progress
from matboard.studies.variants import LearnerVariant
from matboard.tasks.stream import TaskStream

MATRIX = "matrix.csv"
SELECTION = "selection.json"
PICTURES = "pictures"


class StreamFit(FitUnit):
    """A learner with one seed, over the whole stream.

    Args:
        store: the folder that holds ``fits``.
        data: everything that decides the stream and the backbone, as JSON values.
        eye: the frozen backbone; called when it is needed, and not before.

    Attributes:
        rows: of the accuracy matrix, one a task learned so far.
        predictions: after each task, of the test samples of the tasks so far.
        seconds: spent on learning and evaluating.
        skipped: steps whose gradient was not finite.
    """

    def __init__(
        self,
        store: Path,
        variant: LearnerVariant,
        seed: int,
        *,
        stream: TaskStream,
        data: Mapping[str, Any],
        eye: Callable[[], FrozenEye],
    ) -> None:
        self.variant = variant
        self.stream = stream
        self.rows: list[list[float]] = []
        self.predictions: list[NDArray[np.int64]] = []
        self.seconds = 0.0
        self.skipped = 0
        self._eye = eye
        content = {
            "kind": "stream-fit",
            "matboard": __version__,
            "learner": variant.learner,
            "options": dict(variant.options),
            **data,
            "seed": seed,
        }
        machine = {"threads": torch.get_num_threads(), "processes": 1}
        super().__init__(store, variant.name, seed, content, machine)

    @property
    def planned(self) -> PlannedFit:
        """See `FitUnit.planned`."""
        return PlannedFit(
            name=self.name,
            variant=self.variant.name,
            method=self.variant.learner,
            seed=self.seed,
        )

    @property
    def finished(self) -> bool:
        """Whether everything that it should leave behind is there and whole."""
        try:
            left = self.left
            checkpoint = self.run.checkpoint()
        except RunError:
            return False
        return checkpoint is not None and all(
            self.run.path(name).exists() for name in left.files
        )

    @property
    def left(self) -> StreamFitResults:
        """What it left behind. Raises RunError while it is not finished."""
        results = read(self.run.folder)
        if not isinstance(results, StreamFitResults):
            raise RunError(f"{self.run.folder} holds no fit over a stream.")
        return results

    def outcome(self, study: Run) -> Outcome:
        """What was measured, with files as seen from the study's folder."""
        said = self.left.outcome
        folder = relative(self.run.folder, study)
        chosen = None if said.selection is None else f"{folder}/{said.selection}"
        return said.model_copy(
            update={
                "learner": self.variant.name,
                "matrix": f"{folder}/{said.matrix}",
                "selection": chosen,
                "pictures": tuple(f"{folder}/{picture}" for picture in said.pictures),
            }
        )

    def build(self, eye: FrozenEye) -> Learner:
        """The learner as it is before the first task. Raises ConfigError where its options do not
        fit the eye or each other.
        """
        classes = len(self.stream.classes)
        options = self.variant.options
        return build_learner(
            self.variant.learner, eye, classes, seed=self.seed, **options
        )

    def learn(self, run: Run, checkpoint: Checkpoint | None) -> Iterator[Progress]:
        """See `FitUnit.learn`: go on from the last task that was learned."""
        stage = f"{self.variant.name} (seed {self.seed})"
        total = len(self.stream.tasks)
        learner = self.build(self._eye())
        step = 0
        if checkpoint is not None:
            step = self._restore(checkpoint)
            learner.load_state(_learner_state(checkpoint))
        resumed = 0 < len(self.rows) < total
        yield Progress(stage, len(self.rows), total, "resumed" if resumed else "")
        for event in run_stream(learner, self.stream, start=len(self.rows)):
            if isinstance(event, LearnStep):
                step += 1
                self.skipped += event.skipped
                run.log(self._row(event, step).as_line())
                detail = f"task {len(self.rows) + 1}, step {event.index}/{event.total}"
                yield Progress(stage, len(self.rows), total, detail)
                continue
            self._take(event)
            run.save_checkpoint(self._checkpoint(learner, step))
            detail = f"accuracy {np.nanmean(event.accuracies):.3f}"
            yield Progress(stage, len(self.rows), total, detail)
        run.write_results(self._leave(run, learner).as_json())

    def restore(self) -> None:
        """Take up what a finished fit measured."""
        checkpoint = self.run.checkpoint()
        if checkpoint is None:
            raise RunError(
                f"{self.run.folder} holds no checkpoint. Run the same command again."
            )
        self._restore(checkpoint)

    def hits(self) -> StreamHits:
        """What was right after each task; samples in one order, the same for every seed."""
        samples = [
            (sample, task.index) for task in self.stream.tasks for sample in task.test
        ]
        ids = sorted(sample.id for sample, _ in samples)
        place = {name: index for index, name in enumerate(ids)}
        hits = np.zeros((len(self.rows), len(samples)), dtype=bool)
        task = np.zeros(len(samples), dtype=np.int64)
        for position, (sample, index) in enumerate(samples):
            column = place[sample.id]
            task[column] = index
            for stage in range(index, len(self.rows)):
                hits[stage, column] = self.predictions[stage][position] == sample.label
        return StreamHits(hits, task)

    def matrix(self) -> AccuracyMatrix:
        """The accuracy matrix."""
        names = [f"{task.index + 1}: {task.name}" for task in self.stream.tasks]
        return AccuracyMatrix(np.array(self.rows), names)

    # -- state -------------------------------------------------------------------------------------

    def _row(self, event: LearnStep, step: int) -> StepRow:
        return StepRow(
            step=step,
            task=len(self.rows) + 1,
            loss=event.loss,
            losses=event.losses,
            skipped=self.skipped,
        )

    def _take(self, stage: Stage) -> None:
        self.rows.append(stage.accuracies.tolist())
        self.predictions.append(stage.predictions)
        self.seconds += stage.seconds

    def _checkpoint(self, learner: Learner, step: int) -> Checkpoint:
        arrays = {
            f"state.{key}": t.contiguous().numpy() for key, t in learner.state().items()
        }
        arrays |= {
            f"predictions.{stage}": said for stage, said in enumerate(self.predictions)
        }
        rows = [
            [None if np.isnan(value) else value for value in row] for row in self.rows
        ]
        values = {"rows": rows, "seconds": self.seconds, "skipped": self.skipped}
        return Checkpoint(step, arrays, values)

    def _restore(self, checkpoint: Checkpoint) -> int:
        """Take up what was measured; the steps made."""
        rows = checkpoint.values["rows"]
        self.rows = [
            [np.nan if value is None else value for value in row] for row in rows
        ]
        stages = range(len(rows))
        self.predictions = [
            checkpoint.arrays[f"predictions.{stage}"] for stage in stages
        ]
        self.seconds = float(checkpoint.values["seconds"])
        self.skipped = int(checkpoint.values["skipped"])
        return checkpoint.step

    # -- what is left ------------------------------------------------------------------------------

    def _leave(self, run: Run, learner: Learner) -> StreamFitResults:
        """Write what can be looked at: the matrix, which prompts were chosen, prompts as pictures;
        and say what was measured.
        """
        matrix = self.matrix()
        replace_atomically(run.path(MATRIX), matrix.to_csv)
        pictures = tuple(_draw(run, learner))
        outcome = Outcome(
            learner=self.variant.name,
            seed=self.seed,
            accuracy=matrix.average_accuracy(),
            average_incremental_accuracy=matrix.average_incremental_accuracy(),
            learning_accuracy=matrix.learning_accuracy(),
            backward_transfer=matrix.backward_transfer(),
            forgetting={name: matrix.forgetting(name) for name in FORGETTINGS},
            seconds=round(self.seconds, 2),
            skipped_steps=self.skipped,
            matrix=MATRIX,
            selection=self._select(run, learner),
            pictures=pictures,
            tasks=tuple(self._met()),
        )
        return StreamFitResults(
            parameters=learner.trainable,
            state_bytes=sum(
                t.numel() * t.element_size() for t in learner.tensors().values()
            ),
            flags=learner.flags,
            picture_form=self._picture_form() if pictures else None,
            outcome=outcome,
        )

    def _met(self) -> Iterator[MetTask]:
        for task in self.stream.tasks:
            classes = tuple(self.stream.classes[label] for label in task.classes)
            yield MetTask(name=task.name, classes=classes)

    def _picture_form(self) -> Literal["kept", "reshaped"]:
        return "reshaped" if self.variant.options.get("route") == "reshape" else "kept"

    def _select(self, run: Run, learner: Learner) -> str | None:
        made = choices(learner, self.stream)
        if made is None:
            return None
        found = selection(
            made.chosen, made.similarity, made.labels, self.stream.classes
        )
        said = SelectionResults(**found.as_json())
        write_atomically(run.path(SELECTION), json.dumps(said.as_json()).encode())
        return SELECTION


def _learner_state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    prefix = "state."
    return {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix)
    }


def _draw(run: Run, learner: Learner) -> Iterator[str]:
    """Save the learner's prompts as pictures; their files."""
    made = learner.pictures()
    pictures: Sequence[torch.Tensor] = () if made is None else list(made)
    for index, picture in enumerate(pictures):
        name = f"{PICTURES}/{index}.png"
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
        replace_atomically(run.path(name), partial(image.save, format="PNG"))
        yield name
