"""One trial of a search: fits with the trial's values, scored while they learn."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from matboard.errors import ConfigError, FitError
from matboard.studies.config import TaskConfig
from matboard.studies.engine import Together
from matboard.studies.loading import Models, load
from matboard.studies.pixel_fit import PixelFit
from matboard.studies.progress import Progress
from matboard.studies.prompts import check_sources, check_variant
from matboard.studies.search.ranges import SearchConfig, Value
from matboard.studies.search.trials import Taken, Trials
from matboard.tasks.task import Task
from matboard.transfer.fit import Processes
from matboard.transfer.validator import START


@dataclass
class Bench:
    """Where trials are made: the searched variant's models and tasks.

    Of a task's test part one sample is asked for, since a task has one, and none is shown to a
    model. (A reader may open it, to see that it can be read.)

    Args:
        store: the folder that holds ``fits``.

    Raises:
        InputError: a model or task cannot be had, or values at the ends of the ranges are wrong.
    """

    config: SearchConfig
    store: Path
    models: Models = field(init=False)
    _tasks: dict[TaskConfig, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        processes = Processes.here()
        if processes.count > 1:
            raise ConfigError(
                "A search does not share batches; start the same command in as many processes as"
                " you like, without torchrun."
            )
        self.models = Models(self.config.models)
        for values in self.config.ends:
            variant = self.config.tuned(values).variant
            check_variant(variant)
            check_sources(variant, self.models)
            guide = variant.settings.guide
            self.models.look_up(variant.settings.sources, [guide] if guide else [])
            self.fits(values)

    @property
    def fingerprints(self) -> list[str]:
        """Of what is learned from."""
        first = next(iter(self.config.ends))
        return [fit.task.train_fingerprint for fit in self.fits(first)]

    def fits(self, values: Mapping[str, Value]) -> list[PixelFit]:
        """What is learned with some values: the variant on each task with each seed."""
        variant = self.config.tuned(values).variant
        names = self.config.tasks
        learned = [variant.on_task(name, shown=name) for name in names] or [variant]
        fits = []
        for one in learned:
            task = self._task(one.settings.task)
            for seed in self.config.seeds:
                fit = PixelFit(
                    self.store,
                    one,
                    seed,
                    task=task,
                    models=self.models,
                    processes=Processes(),
                    checkpoint_every=self.config.checkpoint_every,
                )
                fits.append(fit)
        return fits

    def carry_out(
        self, taken: Taken, trials: Trials
    ) -> Generator[Progress, None, None]:
        """Make a trial, and tell how it ended."""
        scored = self.config.tuned(taken.values).scored
        scores: list[float] = []
        offset = 0
        try:
            for fit in self.fits(taken.values):
                course = Course(taken, fit, scored == "best", tuple(scores), offset)
                if (yield from self._learned(course)):
                    trials.tell(taken, None)
                    return
                scores.append(course.score)
                offset += fit.recipe.steps or 0
        except FitError as error:
            trials.tell(taken, None, error=str(error))
            return
        trials.tell(taken, fmean(scores))

    def _learned(self, course: Course) -> Generator[Progress, None, bool]:
        """Learn a fit; whether it was given up."""
        stage = f"trial {course.taken.trial.number}"
        every = course.every
        due = True
        with closing(Together(self.store).run([course.fit])) as events:
            for event in events:
                yield replace(event, stage=stage)
                due = due or event.done % every == 0
                if due and course.lies_behind() and event.done < event.total:
                    return True
                due = False
        course.lies_behind()
        return False

    def _task(self, asked: TaskConfig) -> Task:
        if asked not in self._tasks:
            unseen = asked.model_copy(update={"test": 1, "skip": 0})
            self._tasks[asked] = load(unseen)
        return self._tasks[asked]


@dataclass
class Course:
    """A fit of a trial, and the scores on its way.

    Attributes:
        keeps_best: whether its best score counts, or its last.
        before: scores of the trial's fits before it.
        offset: steps of those.
    """

    taken: Taken
    fit: PixelFit
    keeps_best: bool
    before: Sequence[float]
    offset: int
    _reported: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._reported |= self.taken.looks

    @property
    def every(self) -> int:
        """Steps from one validation to the next."""
        assert self.fit.validation is not None
        return self.fit.validation.every

    @property
    def score(self) -> float:
        """Its validation score, mean over source models, once it is finished."""
        return self._scores()[-1][1]

    def lies_behind(self) -> bool:
        """Report scores that are new, and say whether the trial is to be given up."""
        trial = self.taken.trial
        for step, score in self._scores():
            at = self.offset + step
            if at not in self._reported:
                trial.report(fmean([*self.before, score]), at)
                self._reported.add(at)
        return bool(trial.should_prune())

    def _scores(self) -> list[tuple[int, float]]:
        """(step, what counts after it) of every validation that is logged."""
        found: list[tuple[int, float]] = []
        best = 0.0
        for row in self.fit.run.metrics():
            if start := row.get("references", {}).get(START):
                best = fmean(start.values())
            if scores := row.get("validation"):
                latest = fmean(scores.values())
                best = max(best, latest)
                found.append((int(row["step"]), best if self.keeps_best else latest))
        return found
