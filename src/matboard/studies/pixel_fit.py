"""One pixel prompt of a study: a variant with one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from matboard import __version__
from matboard.models.capabilities import Learnable, require
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.results import FitResults, PlannedFit, read
from matboard.runs import Checkpoint, Run
from matboard.studies.config import FitConfig, PromptConfig
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
from matboard.studies.reading import laid_over
from matboard.studies.variants import LENGTHS, FitVariant
from matboard.tasks.task import Task
from matboard.transfer import terms
from matboard.transfer.convergence import Convergence, convergence
from matboard.transfer.fit import Fit, Processes
from matboard.transfer.mapping import kept_mappings
from matboard.transfer.methods import METHODS, Method
from matboard.transfer.validation import Validation, split, steps_of

OWN_TO_METHODS = (
    "optimiser",
    "lr",
    "schedule",
    "warmup",
    "norm_scope",
    "per_picture",
    "diversity",
    "steps",
    "epochs",
)
"""Settings that every method has a default of its own for."""
ENDINGS = {True: "converged", False: "not converged", None: "finished"}
"""What a progress bar says at the end; the whole sentence is told with the results."""


def recipe_of(settings: FitConfig) -> Method:
    """How a variant learns: what is asked, over its method's own. Raises ConfigError, UnknownName
    for a setting of the objective that is wrong.
    """
    method = METHODS[settings.method]
    asked = settings.model_dump(include=set(OWN_TO_METHODS), exclude_none=True)
    if not asked.keys().isdisjoint(LENGTHS):
        asked = {**dict.fromkeys(LENGTHS), **asked}
    if settings.optimiser not in (None, method.optimiser):
        method = replace(method, norm_scope=None)
    objective = terms.resolve(laid_over(method.objective, settings.objective))
    validation = settings.validation
    return replace(method, **asked, objective=objective, validation=validation)


def build_prompt(config: PromptConfig) -> PixelPrompt:
    """A prompt of the asked form, at its initial value. Raises ConfigError."""
    canvas = Canvas(
        config.size, config.width if config.layout == "border" else 0, config.policy
    )
    patch = Patch(config.width) if config.layout == "patch" else None
    return PixelPrompt(
        canvas,
        config.layout,
        config.range,
        patch,
        config.resolution,
        level=config.level,
    )


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
        recipe = recipe_of(variant.settings)
        self.validation = _validation(recipe)
        learned, _ = split(self.validation, task, seed)
        samples = len(learned.train)
        steps = steps_of(
            recipe.steps, recipe.epochs, samples, variant.settings.batch_size
        )
        self.recipe = replace(recipe, steps=steps, epochs=None)
        self._optimiser = self.recipe.build_optimiser(steps)
        self._models = models
        self._processes = processes
        self._checkpoint_every = checkpoint_every
        machine = {"threads": torch.get_num_threads(), "processes": processes.count}
        content = _content(variant.settings, self.recipe, task, seed)
        if settled := models.settings(variant.settings.sources):
            content["models"] = settled
        super().__init__(
            store, variant.title, seed, content, machine, writes=processes.index == 0
        )

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

    def sources(self) -> list[Learnable]:
        """The models that it is learned on. Raises ModelError where one cannot be learned on."""
        settings = self.variant.settings
        alone = self.variant.where.model is not None
        load = self._models.visitor if alone else self._models.source
        models = [load(name, settings.precision) for name in settings.sources]
        return [
            require(model, Learnable, doing="learning a prompt") for model in models
        ]

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

    def _prepare(self) -> Fit:
        settings = self.variant.settings
        guide = None
        if settings.guide is not None:
            guide = self._models.guide(settings.guide, settings.precision)
        return Fit(
            build_prompt(settings.prompt),
            self.sources(),
            self.task,
            objective=terms.objective(self.recipe.objective),
            optimiser=self._optimiser,
            guide=guide,
            batch_size=settings.batch_size,
            micro_batch=settings.micro_batch,
            seed=self.seed,
            diversity=self.recipe.diversity,
            diagnose_every=settings.diagnose_every,
            validation=self.validation,
            processes=self._processes,
        )

    def _finish(self, run: Run, fit: Fit, encoders: dict[str, str]) -> Convergence:
        """How it ended. Who writes saves the prompt, then the results, which say that the fit is
        finished.
        """
        rows = run.metrics()
        ended = convergence(fit, [row.get("loss") for row in rows])
        if self.writes:
            self._write(run, fit, encoders, ended)
        return ended

    def _write(
        self, run: Run, fit: Fit, encoders: dict[str, str], ended: Convergence
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
            converged=ended.converged,
            convergence=ended.sentence,
            prompt="prompt",
        )
        run.write_results(results.as_json())
        run.drop_checkpoint()

    def _validated(self, fit: Fit) -> dict[str, Any] | None:
        """How the prompt was chosen, for its record."""
        if fit.best is None:
            return None
        chosen = {"best_step": fit.best.step, "score": fit.best.score}
        return {**(self.recipe.validation or {}), **chosen}


def _content(
    settings: FitConfig, recipe: Method, task: Task, seed: int
) -> dict[str, Any]:
    """Everything that decides what is learned, readable."""
    by_method = {"task", "validation", *OWN_TO_METHODS}
    asked = settings.model_dump(mode="json", exclude=by_method)
    return {
        "kind": "pixel-fit",
        "matboard": __version__,
        **asked,
        **asdict(recipe),
        "task": {
            "name": task.name,
            "mirror": task.mirror,
            "fingerprint": task.train_fingerprint,
        },
        "seed": seed,
    }


def _validation(recipe: Method) -> Validation | None:
    return Validation(**recipe.validation) if recipe.validation else None
