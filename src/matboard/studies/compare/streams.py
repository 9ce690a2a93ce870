"""Studies over a stream side by side, from the predictions that their fits have kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matboard.errors import InputError
from matboard.metrics import stream_difference
from matboard.metrics.streams import Quantity
from matboard.results import Difference, StreamResults
from matboard.results.comparison import Beside, ComparedRow, Side
from matboard.results.stream import Summary
from matboard.runs import Run
from matboard.studies.compare.comparable import Comparable, unpaired
from matboard.studies.config import ContinualConfig
from matboard.studies.reading import parse
from matboard.studies.stream_fit import StreamFit
from matboard.studies.streams import stream_fits
from matboard.tasks.task import sample_fingerprints

QUANTITIES: tuple[Quantity, ...] = ("accuracy", "forgetting")


class StreamRun(Comparable):
    """A finished study of learners over a stream."""

    def __init__(self, name: str, folder: Path, results: StreamResults) -> None:
        super().__init__(name, folder)
        self.results = results

    @property
    def conditions(self) -> list[str]:
        """See `Comparable.conditions`."""
        return [learner.name for learner in self.results.learners]

    @property
    def held(self) -> str:
        """See `Comparable.held`."""
        return f"{self.results.backbone.name} on {self.results.stream.name}"

    def rows(
        self, condition: str, others: Sequence[tuple[StreamRun, str]]
    ) -> Iterator[ComparedRow]:
        """See `Comparable.rows`. Streams of one name are compared, whatever backbone they have."""
        mine = _Learned(self, condition)
        name = self.results.stream.name
        theirs = [
            _Learned(run, learner)
            for run, learner in others
            if run.results.stream.name == name
        ]
        for quantity in QUANTITIES if theirs else ():
            yield ComparedRow(
                task=name,
                metric=quantity,
                model=self.results.backbone.name,
                reference=mine.side(quantity),
                others=tuple(_beside(quantity, mine, other) for other in theirs),
            )

    def notes(self, other: StreamRun) -> Iterator[str]:
        """See `Comparable.notes`."""
        mine, theirs = self.results.backbone, other.results.backbone
        if mine != theirs:
            yield (
                f"The backbone is {mine.name} at {mine.side} px in {self.name}, and {theirs.name}"
                f" at {theirs.side} px in {other.name}."
            )

    @cached_property
    def fits(self) -> Mapping[str, list[StreamFit]]:
        """Learner → its fits with what they measured, seed by seed; none where what the stream is
        made of cannot be had any more, or has changed.
        """
        run = Run(self.folder)
        found: dict[str, list[StreamFit]] = {}
        try:
            config = parse(ContinualConfig, run.config(), str(self.folder))
            for fit in stream_fits(config, run.store):
                fit.restore()
                found.setdefault(fit.variant.name, []).append(fit)
        except InputError:
            return {}
        return found

    @cached_property
    def met(self) -> Mapping[int, list[list[str]]]:
        """Seed → the test samples of each task, by fingerprint, in the order it met the tasks."""
        fits = {fit.seed: fit for fits in self.fits.values() for fit in fits}
        return {
            seed: [sample_fingerprints(task.test) for task in fit.stream.tasks]
            for seed, fit in fits.items()
        }


@dataclass(frozen=True)
class _Learned:
    """A learner of a run."""

    run: StreamRun
    name: str

    def side(self, quantity: Quantity) -> Side:
        summary = self._summary
        forgetting = quantity == "forgetting"
        return Side(
            run=self.run.name,
            condition=self.name,
            value=summary.forgetting if forgetting else summary.accuracy,
            seeds=sum(o.learner == self.name for o in self.run.results.outcomes),
        )

    @property
    def fits(self) -> Mapping[int, StreamFit]:
        return {fit.seed: fit for fit in self.run.fits.get(self.name, ())}

    @property
    def _summary(self) -> Summary:
        return next(s for s in self.run.results.summary if s.learner == self.name)


def _beside(quantity: Quantity, a: _Learned, b: _Learned) -> Beside:
    """b − a: paired by seed where both met the same samples in the same tasks."""
    mine, theirs = a.fits, b.fits
    reference, side = a.side(quantity), b.side(quantity)
    for learned, fits in ((a, mine), (b, theirs)):
        if not fits:
            why = (
                f"the stream of {learned.run.name}, or its fits, cannot be had any more"
            )
            return unpaired(reference, side, why)
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds or any(a.run.met[seed] != b.run.met[seed] for seed in seeds):
        return unpaired(reference, side, "no seed met the same tasks in both")
    ours = [mine[seed].hits() for seed in seeds]
    others = [theirs[seed].hits() for seed in seeds]
    return Beside(
        side=side,
        difference=Difference.of(stream_difference(quantity, ours, others)),
        samples=len(ours[0].task),
        seeds=len(seeds),
    )
