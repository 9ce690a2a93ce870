"""What a fit says of itself: its steps, and the state it can go on from."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from matboard.errors import RunError
from matboard.transfer.validation import Best

DELTA = "delta"
BEST = "best"
"""Names of the learned values, and of the best ones so far, among a state's tensors."""
MAPPING = "mapping of "
"""Before the name of a classifier: the classes that stand for answers, among those tensors."""


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        index: counted from 1.
        loss: L of Eq. 6, mean over source models.
        losses: each term before its weight, mean over source models.
        lr: learning rate of this step.
        skipped: steps skipped so far because there was nothing to learn from: no finite gradient,
            or no answer.
        queries: pictures shown to source models so far; see `queries.Queries`.
        unanswered: of the pictures of this step's batch, those that some source model did not
            answer about under some prompt, so that nothing was learned from them.
        seconds: wall time of this step, validation included.
        gradient_norms: L2 norms at the canvas, summed over the batch, of each weighted term and of
            their sum; terms only on diagnosed steps.
        gradient_cosines: cosines between the terms' gradients on the prompt's pixels; only on
            diagnosed steps.
        per_model: source model → its own terms and the L2 norm of its gradient.
        validation: source model → validation score after this step, in [0, 1]; empty where it was
            not validated.
        references: only of a validated fit's first step: ``untouched`` and ``start``, the scores of
            the pictures as they are and of the prompt before learning.
        outlier_share: share of the batch's summed squared gradient norms, picture by picture over
            the prompt's pixels, that the largest picture holds; None for a batch of one.
        float32_cosine: cosine between this step's gradient and the same in float32, over the
            prompt's pixels; of the first step of a fit in lower precision only.
    """

    index: int
    loss: float
    losses: dict[str, float]
    lr: float
    skipped: int = 0
    queries: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    gradient_norms: dict[str, float] = field(default_factory=dict)
    gradient_cosines: dict[str, float] = field(default_factory=dict)
    per_model: dict[str, dict[str, float]] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    outlier_share: float | None = None
    float32_cosine: float | None = None


@dataclass(frozen=True)
class FitState:
    """Everything a fit needs to go on exactly.

    Attributes:
        step: steps done.
        tensors: the learned values ``delta``, those of the best prompt (``best``) where there is
            validation, classes that stand for answers where a source is a classifier, and the
            optimiser's memory.
        skipped: how many of the steps changed nothing; see `Step.skipped`.
        last: what the last of them did; None before the first, and after `Fit.load_state`.
        best: the best prompt so far; None before the first step, and without validation.
    """

    step: int
    tensors: dict[str, Tensor]
    skipped: int = 0
    last: Step | None = None
    best: Best | None = None

    @property
    def memory(self) -> dict[str, Tensor]:
        """The optimiser's."""
        others = (DELTA, BEST, MAPPING)
        return {
            name: t for name, t in self.tensors.items() if not name.startswith(others)
        }

    def refuse_foreign(self, state: FitState, steps: int) -> None:
        """Raises RunError for a state of another fit than this one, which makes ``steps``."""
        expected = {name: tuple(t.shape) for name, t in self.tensors.items()}
        came = {name: tuple(t.shape) for name, t in state.tensors.items()}
        if came != expected:
            raise RunError(
                f"The state of another fit came: its tensors are {came}, this fit's are {expected}."
            )
        if not 0 <= state.step <= steps:
            raise RunError(
                f"The state of another fit came: it is at step {state.step} of a fit of {steps}"
                " steps."
            )
