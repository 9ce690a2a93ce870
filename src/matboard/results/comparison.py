"""Several runs side by side: what ``matboard compare`` finds. No run writes it."""

from __future__ import annotations

from matboard.results.parts import Difference, Interval, Part


class Side(Part):
    """One cell as one run has it.

    Attributes:
        run: what the comparison calls it.
        condition: a learned prompt of a study, or a learner of a stream.
        value: mean over seeds, with its 95 % interval.
        seeds: how many prompts, or orders of classes, stand behind it.
    """

    run: str
    condition: str
    value: Interval
    seeds: int


class Beside(Part):
    """A cell beside the one that it is compared with.

    Attributes:
        difference: this one minus that one.
        samples: on how many samples, which both were judged on, it is paired; None where it is not
            paired.
        seeds: by how many seeds it is paired; those of one prompt meet all of the other's.
        why: what keeps it from being paired on all samples; empty where it is.
    """

    side: Side
    difference: Difference
    samples: int | None = None
    seeds: int | None = None
    why: str = ""


class ComparedRow(Part):
    """What one model does on one task, in several runs.

    Attributes:
        metric: the task's; of a stream ``accuracy`` or ``forgetting``, of which less is better.
        model: of a stream the backbone.
        scorer: how answers were read; empty for a stream.
        untouched: in the first run, without any prompt; None for a stream.
        reference: the cell of the first run.
    """

    task: str
    metric: str
    model: str
    scorer: str = ""
    untouched: float | None = None
    reference: Side
    others: tuple[Beside, ...]


class RunComparison(Part):
    """All that the runs have in common, row by row; rows of one reference condition together."""

    runs: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    notes: tuple[str, ...] = ()
