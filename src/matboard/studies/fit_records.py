"""What a fit of a study writes while it learns: its log, its checkpoints, and news for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

import torch

from matboard.errors import RunError
from matboard.results import StepRow
from matboard.runs import Checkpoint, Run
from matboard.transfer.fitting import Fitting
from matboard.transfer.steps import FitState, Step
from matboard.transfer.validation import Best


class News:
    """What a person reads of a fit while it learns."""

    def __init__(self, fit: Fitting) -> None:
        self._fit = fit
        self._latest: float | None = None

    def of(self, step: Step) -> str:
        """The loss of a step; with validation the latest score and the best."""
        if step.validation:
            self._latest = fmean(step.validation.values())
        said = f"loss {step.loss:.3f}"
        best = self._fit.best
        if best is None:
            return said
        latest = "" if self._latest is None else f" {self._latest:.3f}"
        return f"{said}, validation{latest} (best {best.score:.3f})"


def row_of(step: Step) -> StepRow:
    """A step's line in the log. One source model's own terms are the fit's."""
    return StepRow(
        step=step.index,
        loss=step.loss,
        losses=step.losses,
        lr=step.lr,
        skipped=step.skipped,
        queries=step.queries,
        unanswered=step.unanswered,
        seconds=round(step.seconds, 4),
        gradient_norms=step.gradient_norms,
        gradient_cosines=step.gradient_cosines,
        per_model=step.per_model if len(step.per_model) > 1 else {},
        outlier_share=step.outlier_share,
        float32_cosine=step.float32_cosine,
        validation=step.validation,
        references=step.references,
    )


def checkpoint_of(state: FitState, encoders: dict[str, str]) -> Checkpoint:
    """A state as it is kept, and whose weights it was learned on."""
    arrays = {name: tensor.numpy() for name, tensor in state.tensors.items()}
    best = None if state.best is None else asdict(state.best)
    values = {"skipped": state.skipped, "best": best, "encoders": encoders}
    return Checkpoint(state.step, arrays, values)


def state_of(checkpoint: Checkpoint) -> FitState:
    """The state that a checkpoint keeps."""
    tensors = {
        name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()
    }
    found = checkpoint.values["best"]
    best = None if found is None else Best(**found)
    skipped = int(checkpoint.values["skipped"])
    return FitState(checkpoint.step, tensors, skipped, best=best)


def check_encoders(run: Run, checkpoint: Checkpoint, encoders: dict[str, str]) -> None:
    """Raises RunError where a source model's weights are not those that a checkpoint began with."""
    before = checkpoint.values["encoders"]
    changed: Sequence[str] = [
        name for name in encoders if encoders[name] != before.get(name)
    ]
    if changed:
        raise RunError(
            f"The source model {changed[0]!r} has other weights than when the fit in {run.folder}"
            " was begun. Delete that folder to learn anew."
        )
