"""One pixel prompt of a study: a variant with one seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from matboard import __version__
from matboard.models.capabilities import FrozenModel
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.results import FitResults, PlannedFit, read
from matboard.runs import Checkpoint, Run
from matboard.studies.engine import FitUnit
from matboard.studies.fit_records import (
    News,
    check_encoders,
    checkpoint_of,
    row_of,
    state_of,
)
from matboard.studies.loading import Models
from matboard.studies.progress import Progress
from matboard.studies.recipe import content_of, in_steps, recipe_of
from matboard.studies.starting import begin, check_learnable
from matboard.studies.variants import FitVariant
from matboard.tasks.task import Task
from matboard.transfer.convergence import Convergence, convergence
from matboard.transfer.fit import Processes
from matboard.transfer.fitting import Fitting
from matboard.transfer.mapping import kept_mappings
from matboard.transfer.methods import METHODS
from matboard.transfer.validation import Validation

ENDINGS = {True: "converged", False: "not converged", None: "finished"}
"""What a progress bar says at the end; the whole sentence is told with the results."""


class PixelFit(FitUnit):
    """A variant's prompt with one seed.

    Args:
        store: the folder that holds ``fits``.
        task: what it is learned from.
        models: where source models and guides come from.
        processes: those that share each batch; the first of them writes.
    """

    def __init__(
        self,
        store: Path,
        variant: FitVariant,
        seed: int,
        *,
        task: Task,
        models: Models,
        processes: Processes,
        checkpoint_every: int,
    ) -> None:
        self.variant = variant
        self.task = task
        self.recipe = in_steps(
            recipe_of(variant.settings), variant.settings, task, seed
        )
        self._models = models
        self._processes = processes
        self._checkpoint_every = checkpoint_every
        machine = {"threads": torch.get_num_threads(), "processes": processes.count}
        content = content_of(variant.settings, self.recipe, task, seed)
        if settled := models.settings(variant.settings.sources):
            content["models"] = settled
        super().__init__(
            store, variant.title, seed, content, machine, writes=processes.index == 0
        )

    @property
    def validation(self) -> Validation | None:
        """How it is validated."""
        return self.recipe.build_validation()

    def prompt(self) -> VisualPrompt:
        """The learned prompt, once it is finished."""
        return load_prompt(self.run.path("prompt"))

    def results(self) -> FitResults:
        """What it says of itself, once it is finished."""
        results = read(self.run.folder)
        assert isinstance(results, FitResults)
        return results

    @property
    def planned(self) -> PlannedFit:
        """See `FitUnit.planned`."""
        return PlannedFit(
            name=self.name,
            variant=self.variant.name,
            method=self.variant.settings.method,
            seed=self.seed,
            model=self.variant.where.model,
            task=self.variant.where.task,
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Terms of the method's objective that this variant learns without."""
        own = METHODS[self.variant.settings.method].objective
        counted = [
            name for name, said in self.recipe.objective.items() if said["weight"]
        ]
        return tuple(name for name in own if name not in counted)

    def sources(self) -> list[FrozenModel]:
        """The models that it is learned on."""
        settings = self.variant.settings
        alone = self.variant.where.model is not None
        load = self._models.visitor if alone else self._models.source
        return [load(name, settings.precision) for name in settings.sources]

    def check(self) -> None:
        """Raises InputError where it cannot be learned on its models."""
        check_learnable(self.recipe, self.sources(), self.task)

    def learn(self, run: Run, checkpoint: Checkpoint | None) -> Iterator[Progress]:
        """See `FitUnit.learn`."""
        stage = f"learn {self.name}"
        fit = self._prepare()
        encoders = {model.name: model.encoder for model in self.sources()}
        if checkpoint is not None:
            check_encoders(run, checkpoint, encoders)
            fit.load_state(state_of(checkpoint))
        saved = fit.step
        logged = fit.step
        news = News(fit)
        yield Progress(stage, fit.step, len(fit), "resumed" if fit.step else "")
        try:
            for step in fit:
                if self.writes:
                    run.log(row_of(step).as_line())
                    logged = step.index
                    if step.index % self._checkpoint_every == 0:
                        run.save_checkpoint(checkpoint_of(fit.state(), encoders))
                        saved = step.index
                yield Progress(stage, step.index, len(fit), news.of(step))
        finally:
            state = fit.state()
            if self.writes and saved < state.step and not fit.finished:
                # a signal may come between a step and its line in the log
                if state.last is not None and logged < state.step:
                    run.log(row_of(state.last).as_line())
                run.save_checkpoint(checkpoint_of(state, encoders))
        ended = self._finish(run, fit, encoders)
        yield Progress(stage, len(fit), len(fit), ENDINGS[ended.converged])

    def _prepare(self) -> Fitting:
        settings = self.variant.settings
        guide = None
        if settings.guide is not None:
            guide = self._models.guide(settings.guide, settings.precision)
        return begin(
            settings,
            self.recipe,
            self.sources(),
            self.task,
            guide=guide,
            seed=self.seed,
            processes=self._processes,
        )

    def _finish(self, run: Run, fit: Fitting, encoders: dict[str, str]) -> Convergence:
        """How it ended. Who writes saves the prompt, then the results, which say that the fit is
        finished.
        """
        rows = run.metrics()
        ended = convergence(fit, [row.get("loss") for row in rows])
        if self.writes:
            self._write(run, fit, encoders, ended)
        return ended

    def _write(
        self, run: Run, fit: Fitting, encoders: dict[str, str], ended: Convergence
    ) -> None:
        record = {
            "sources": [
                {"model": name, "encoder": code} for name, code in encoders.items()
            ],
            "method": self.variant.settings.method,
            "objective": self.recipe.objective,
            "task": self.task.name,
            "data_fingerprint": self.task.train_fingerprint,
            "skipped_terms": list(self.left_out),
            "seed": self.seed,
            "steps": fit.step,
            "validation": self._validated(fit),
            "library_version": __version__,
        }
        learned = fit.prompt.to_artifact(record)
        if mappings := kept_mappings(fit.models, self.task.train, learned):
            learned = fit.prompt.to_artifact({**record, "label_mappings": mappings})
        learned.save_pretrained(run.path("prompt"))
        results = FitResults(
            variant=self.variant.name,
            method=self.variant.settings.method,
            seed=self.seed,
            steps=fit.step,
            skipped=fit.skipped,
            seconds=sum(float(row.get("seconds") or 0) for row in run.metrics()),
            longest=len(fit),
            best_step=None if fit.best is None else fit.best.step,
            best_score=None if fit.best is None else fit.best.score,
            queries=fit.shown,
            converged=ended.converged,
            convergence=ended.sentence,
            prompt="prompt",
        )
        run.write_results(results.as_json())
        run.drop_checkpoint()

    def _validated(self, fit: Fitting) -> dict[str, Any] | None:
        """How the prompt was chosen, for its record."""
        if fit.best is None:
            return None
        chosen = {"best_step": fit.best.step, "score": fit.best.score}
        return {**(self.recipe.validation or {}), **chosen}
