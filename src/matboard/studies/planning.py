"""The fits of a study: each variant with each seed, on each task that has prompts of its own, and
on each judged model where what it could learn of itself is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matboard.errors import InputError
from matboard.runs import address
from matboard.studies.config import StudyConfig, TaskConfig
from matboard.studies.loading import Models, load, load_distinct
from matboard.studies.pixel_fit import PixelFit
from matboard.studies.variants import FitVariant
from matboard.tasks.task import Task
from matboard.transfer.fit import Processes


@dataclass(frozen=True)
class Plan:
    """What a study will do.

    Attributes:
        fits: variant by variant, task by task where each has prompts of its own, seed by seed.
        itself: the variant whose recipe is learned on each judged model too, if any.
        on_itself: its fits there.
        models: all that are judged, sources first.
        judged: the tasks that prompts are judged on.
        made_from: content address of all that decides the results.
        notes: what a reader of the table must know of what could not be learned.
    """

    variants: Sequence[FitVariant]
    fits: Sequence[PixelFit]
    itself: str | None
    on_itself: Sequence[PixelFit]
    models: Sequence[str]
    judged: Sequence[Task]
    made_from: str
    notes: Sequence[str]

    @property
    def sources(self) -> list[str]:
        """Every model that a variant's prompts are learned on; see `sources_of`."""
        return sources_of(self.variants)

    @property
    def all_fits(self) -> list[PixelFit]:
        """Everything that is learned."""
        return [*self.fits, *self.on_itself]

    def fits_of(self, variant: FitVariant) -> list[PixelFit]:
        """Its fits for every task and seed."""
        return [fit for fit in self.fits if fit.variant.name == variant.name]


@dataclass
class Planner:
    """Makes the plan of a study.

    Attributes:
        place: the folder that holds ``fits``.
        judged: the tasks that prompts are judged on.
        notes: what a reader of the table must know of what could not be learned.
    """

    config: StudyConfig
    place: Path
    loaded: Models
    processes: Processes
    judged: Sequence[Task] = ()
    notes: list[str] = field(default_factory=list)
    _tasks: dict[TaskConfig, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.judged = load_distinct(judged_configs(self.config))

    def plan(self, variants: Sequence[FitVariant]) -> Plan:
        """All that the study will do; models are loaded where something is learned on each."""
        models = self.models_of(variants)
        fits = list(self._fits(variants))
        on_itself: list[PixelFit] = []
        for variant in variants:
            if variant.name == self.config.itself:
                on_itself += self._on_itself(variant, models)
        content = [
            self.config.asked,
            [fit.address for fit in [*fits, *on_itself]],
            [task.test_fingerprint for task in self.judged],
        ]
        return Plan(
            variants=variants,
            fits=fits,
            itself=self.config.itself,
            on_itself=on_itself,
            models=models,
            judged=self.judged,
            made_from=address(content),
            notes=self.notes,
        )

    def models_of(self, variants: Sequence[FitVariant]) -> list[str]:
        """All models that are judged, sources first."""
        asked = self.config.evaluate.models
        return list(dict.fromkeys([*sources_of(variants), *asked]))

    def _fits(self, variants: Sequence[FitVariant]) -> Iterator[PixelFit]:
        """Every variant on every task with every seed."""
        for variant in variants:
            for learned in self._on_tasks(variant):
                for seed in self.config.seeds:
                    yield self._fit(learned, seed)

    def _on_itself(
        self, variant: FitVariant, models: Sequence[str]
    ) -> Iterator[PixelFit]:
        """A variant's recipe on each model that can be learned on, with the first seed."""
        for model in models:
            fits = []
            for learned in self._on_tasks(variant.on_itself(model)):
                fits.append(self._fit(learned, self.config.seeds[0]))
            refusal = _refusal(fits[0])
            if refusal is None:
                yield from fits
            else:
                self.notes.append(f"{model} has no row “learned on itself”: {refusal}")

    def _on_tasks(self, variant: FitVariant) -> list[FitVariant]:
        if not self.config.tasks:
            return [variant]
        learned = []
        for name, task in zip(self.config.tasks, self.judged, strict=True):
            learned.append(variant.on_task(name, shown=task.name))
        return learned

    def _fit(self, variant: FitVariant, seed: int) -> PixelFit:
        asked = variant.settings.task
        if asked not in self._tasks:
            self._tasks[asked] = load(asked)
        return PixelFit(
            self.place,
            variant,
            seed,
            task=self._tasks[asked],
            models=self.loaded,
            processes=self.processes,
            checkpoint_every=self.config.checkpoint_every,
        )


def judged_configs(config: StudyConfig) -> list[TaskConfig]:
    """The tasks that prompts are judged on, as they are asked for: those with prompts of their own,
    or what prompts are judged on besides.
    """
    if not config.tasks:
        return config.evaluate.tasks or [config.task]
    return [config.task.model_copy(update={"name": name}) for name in config.tasks]


def sources_of(variants: Sequence[FitVariant]) -> list[str]:
    """Every model that variants' prompts are learned on."""
    named = [name for variant in variants for name in variant.settings.sources]
    return list(dict.fromkeys(named))


def _refusal(fit: PixelFit) -> str | None:
    """Why nothing can be learned on a fit's model; None where it can be."""
    try:
        fit.check()
    except InputError as error:
        return str(error)
    return None
