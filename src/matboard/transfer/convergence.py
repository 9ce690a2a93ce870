"""Whether a fit had converged when it ended, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from matboard.transfer.fitting import Fitting
from matboard.transfer.validation import Best, Validation

PART = 10
"""The last of so many parts of a fit is compared with the one before (guess)."""
FEWEST = 10
"""Steps that such a part must have to be compared (guess)."""
PATIENCE = 5
"""Validations without a better one that count as converged where a fit stops for none (guess: the
default patience).
"""


@dataclass(frozen=True)
class Convergence:
    """What a fit says of itself at its end.

    Attributes:
        converged: None where it cannot be told.
    """

    converged: bool | None
    sentence: str


def convergence(fit: Fitting, losses: Sequence[float | None]) -> Convergence:
    """Whether a fit that has ended had converged: by its validation, else by its training loss.

    Args:
        losses: of all its steps, also of those before it was resumed.
    """
    if fit.validation is not None and fit.best is not None:
        return by_validation(fit.best, fit.validation, fit.step)
    return by_loss(losses)


def by_validation(best: Best, validation: Validation, step: int) -> Convergence:
    """A fit has converged when as many validations as its patience came after the best one.

    Args:
        step: the steps that it has made.
    """
    score = f"{best.score:.3f}"
    if best.waited >= (validation.patience or PATIENCE):
        later = f"{best.waited} validation{'s' if best.waited > 1 else ''}"
        return Convergence(
            True,
            f"Converged: the best validation score, {score}, came at step {best.step}, and {later}"
            f" after it, up to step {step}, brought no better one.",
        )
    if best.step == 0:
        return Convergence(
            False,
            f"Not yet better than before learning when its {step} steps ran out: the validation"
            f" score was {score} at the start. Give it more steps.",
        )
    return Convergence(
        False,
        f"Still improving when its steps ran out: the best validation score, {score}, came at step"
        f" {best.step} of {step}. Give it more steps.",
    )


def by_loss(losses: Sequence[float | None]) -> Convergence:
    """A fit without validation has converged when the mean training loss of its last tenth is not
    below that of the tenth before by more than two standard errors of their difference.

    Steps are taken as independent of one another, and a loss that falls more slowly than its noise
    shows counts as converged: the rule says when learning was certainly too short, not when it was
    long enough.

    Args:
        losses: of every step; those that are not finite are left out.
    """
    known = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    size = len(known) // PART
    if size < FEWEST:
        return Convergence(
            None,
            f"Too few steps, {len(losses)}, to tell from the training loss whether it had"
            f" converged; {PART * FEWEST} are enough.",
        )
    before = known[-2 * size : -size]
    last = known[-size:]
    fallen = fmean(before) - fmean(last)
    error = math.sqrt((variance(before) + variance(last)) / size)
    told = (
        f"mean {fmean(last):.4g} over the last {size} steps, {fmean(before):.4g} over the {size}"
        " before"
    )
    if fallen > 2 * error:
        return Convergence(
            False,
            f"Still improving when its steps ran out: its training loss was falling ({told}). Give"
            " it more steps.",
        )
    return Convergence(True, f"Converged: its training loss no longer fell ({told}).")
