"""Whether the terms of an objective, and the pictures of a batch, pull on the prompt in
proportion.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from matboard.transfer.terms import TASK, Objective

SLIGHT = 0.01
"""Below which share of the task's gradient a term hardly counts (guess)."""

DROWNING = 10.0
"""Above which share of the task's gradient the task hardly counts (guess)."""


RULING = 0.9
"""Above which share of a batch's gradient energy one picture decides the step (guess)."""


def outlier_notes(shares: Iterable[float | None], *, label: str, key: str) -> list[str]:
    """A sentence where in most steps a single picture decides.

    Args:
        shares: of each step that was logged; see `Step.outlier_share`.
        label: what the fit is called.
        key: where its settings stand in the configuration.
    """
    known = [share for share in shares if share is not None]
    if not known or statistics.median(known) <= RULING:
        return []
    return [
        f"{label}: in most steps one picture of the batch holds more than {RULING:.0%} of the"
        f" gradient's energy (median {statistics.median(known):.2f} over logged steps), so the"
        f" others hardly count; {key}.per_picture: clip bounds every picture at the batch's median."
    ]


def balance_notes(
    objective: Objective,
    gradient_norms: Iterable[Mapping[str, float | None]],
    *,
    label: str,
    key: str,
) -> list[str]:
    """What to know of the terms' weights (λ₁ and λ₂ of TVP Eq. 6): a sentence for each term that
    hardly pulls on the prompt, or drowns the task.

    Args:
        gradient_norms: of each step that was logged, term → L2 norm of its weighted gradient; steps
            that were not diagnosed name no term.
        label: what the fit is called.
        key: where its objective stands in the configuration.
    """
    diagnosed = [norms for norms in gradient_norms if norms.get(TASK)]
    notes = []
    for term in objective.terms:
        ratios = _ratios(term.name, diagnosed)
        if term.name == TASK or not ratios:
            continue
        ratio = statistics.median(ratios)
        if SLIGHT <= ratio <= DROWNING:
            continue
        effect = "it hardly counts" if ratio < SLIGHT else "the task hardly counts"
        notes.append(
            f"{label}: {term.title} pulls on the prompt with {ratio:.2g} times the task's gradient"
            f" (median over logged steps), so {effect}; {key}.{term.name}.weight is"
            f" {term.weight:g}."
        )
    return notes


def _ratios(name: str, diagnosed: Iterable[Mapping[str, float | None]]) -> list[float]:
    """The term's gradient over the task's, of each step that knows both."""
    ratios = []
    for norms in diagnosed:
        pull = norms.get(name)
        task = norms.get(TASK)
        if pull is not None and task:
            ratios.append(pull / task)
    return ratios
