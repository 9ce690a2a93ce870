"""What a study over a stream says: every learner's outcomes, and how they compare."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from matboard.continual.build import CONTROLS
from matboard.errors import RunError
from matboard.metrics import StreamHits, stream_difference, stream_estimate
from matboard.metrics.streams import Quantity
from matboard.models.capabilities import Backbone
from matboard.results import Difference, Interval, StreamResults, read
from matboard.results.parts import Skipped
from matboard.results.stream import (
    Against,
    BackboneFacts,
    Kind,
    Learner,
    StreamFacts,
    Summary,
    weight_paths,
)
from matboard.runs import Run
from matboard.studies.config import ContinualConfig
from matboard.studies.engine import session_notes
from matboard.studies.stream_fit import StreamFit
from matboard.studies.variants import LearnerVariant
from matboard.tasks.stream import TaskStream

FORGETTING = "chaudhry"
"""The named forgetting of the summary and its intervals; outcomes hold them all."""
DISTILLATION = "distillation"
"""The learners' option that is the weight of LwF's distillation."""


@dataclass(frozen=True)
class StreamPlan:
    """What a study will do.

    Attributes:
        fits: learner by learner, seed by seed.
        stream: of the first seed.
        made_from: content address of all that decides the results.
    """

    variants: Sequence[LearnerVariant]
    fits: Sequence[StreamFit]
    stream: TaskStream
    made_from: str

    def fits_of(self, name: str) -> list[StreamFit]:
        """One fit a seed."""
        return [fit for fit in self.fits if fit.variant.name == name]


def stream_results(
    config: ContinualConfig,
    plan: StreamPlan,
    run: Run,
    backbone: Backbone,
    spent: float,
) -> StreamResults:
    """The results of a study whose fits are finished and restored.

    Args:
        spent: seconds since this session of the study began.
    """
    reference = config.reference or plan.variants[0].name
    control = _best_control(plan)
    learners = tuple(_learner(variant, plan) for variant in plan.variants)
    before = _before(run)
    earlier = 0.0 if before is None else before.seconds or 0.0
    peak = max(
        _peak_memory_mb(), 0.0 if before is None else before.peak_memory_mb or 0.0
    )
    return StreamResults(
        title=config.title,
        stream=_stream_facts(config, plan.stream),
        backbone=BackboneFacts(
            name=backbone.name,
            dim=backbone.dim,
            side=backbone.side,
            layers=backbone.depth,
        ),
        reference=reference,
        control=control,
        forgetting_name=FORGETTING,
        learners=learners,
        outcomes=tuple(fit.outcome(run) for fit in plan.fits),
        summary=tuple(_summary(plan, reference, control)),
        paths=weight_paths(learners, DISTILLATION),
        peak_memory_mb=peak,
        seconds=round(earlier + spent, 1),
        notes=tuple(_notes(config, plan)),
        made_from=plan.made_from,
    )


def _stream_facts(config: ContinualConfig, stream: TaskStream) -> StreamFacts:
    return StreamFacts(
        name=stream.name,
        kind=config.stream.kind,
        tasks=len(stream.tasks),
        classes=stream.classes,
        train=sum(len(task.train) for task in stream.tasks),
        test=sum(len(task.test) for task in stream.tasks),
        held_out=config.task.held_out,
        skipped=tuple(Skipped(id=one.id, reason=one.reason) for one in stream.skipped),
    )


def _learner(variant: LearnerVariant, plan: StreamPlan) -> Learner:
    left = plan.fits_of(variant.name)[0].left
    return Learner(
        name=variant.name,
        method=variant.learner,
        kind=_kind(variant),
        options=dict(variant.options),
        flags=left.flags,
        parameters=left.parameters,
        state_bytes=left.state_bytes,
        picture_form=left.picture_form,
    )


def _kind(variant: LearnerVariant) -> Kind:
    """``control``: no prompt is learned, be it that there is none or that it is left as drawn."""
    if variant.learner in CONTROLS or variant.options.get("adapt") == 0:
        return "control"
    return "baseline" if variant.learner == "fine-tune" else "prompt"


def _best_control(plan: StreamPlan) -> str | None:
    """The control with the highest mean accuracy."""
    means = {}
    for variant in plan.variants:
        if _kind(variant) == "control":
            fits = plan.fits_of(variant.name)
            means[variant.name] = np.mean(
                [fit.matrix().average_accuracy() for fit in fits]
            )
    return max(means, key=lambda name: means[name], default=None)


def _summary(plan: StreamPlan, reference: str, control: str | None) -> list[Summary]:
    hits = {v.name: [fit.hits() for fit in plan.fits_of(v.name)] for v in plan.variants}
    rows = []
    for name, own in hits.items():
        seconds = [fit.left.outcome.seconds or 0.0 for fit in plan.fits_of(name)]
        row = Summary(
            learner=name,
            seconds=round(float(np.mean(seconds)), 2),
            accuracy=_interval("accuracy", own),
            forgetting=_interval("forgetting", own),
            average_incremental_accuracy=_interval("average_incremental_accuracy", own),
            against=_against(hits, name, reference),
            over_control=_against(hits, name, control),
        )
        rows.append(row)
    return rows


def _interval(quantity: Quantity, hits: Sequence[StreamHits]) -> Interval:
    return Interval.of(stream_estimate(quantity, hits))


def _against(
    hits: Mapping[str, Sequence[StreamHits]], name: str, other: str | None
) -> Against | None:
    """This learner minus another; None for itself, or where there is no other."""
    if other is None or other == name:
        return None
    accuracy = stream_difference("accuracy", hits[other], hits[name])
    forgetting = stream_difference("forgetting", hits[other], hits[name])
    return Against(
        accuracy=Difference.of(accuracy), forgetting=Difference.of(forgetting)
    )


def _notes(config: ContinualConfig, plan: StreamPlan) -> list[str]:
    notes = [*session_notes(plan.fits), *plan.stream.notes]
    if config.task.held_out is not None:
        share = f"{config.task.held_out:.0%}"
        notes.append(
            f"Judged on {share} of the training samples, held out; the test part was not touched."
        )
    return notes


def _before(run: Run) -> StreamResults | None:
    """What an earlier session of the same study wrote."""
    try:
        results = read(run.folder)
    except RunError:
        return None
    return results if isinstance(results, StreamResults) else None


def _peak_memory_mb() -> float:
    """The most memory this process has held."""
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return round(peak * unit / 2**20)
