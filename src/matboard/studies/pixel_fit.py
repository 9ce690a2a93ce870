"""One pixel prompt of a study: a variant with one seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from matboard import __version__
from matboard.errors import RunError
from matboard.models.capabilities import Learnable, require
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.results import FitResults, PlannedFit, StepRow
from matboard.runs import Checkpoint, Run
from matboard.studies.config import FitConfig, PromptConfig
from matboard.studies.engine import FitUnit
from matboard.studies.loading import Models
from matboard.studies.progress import Progress
from matboard.studies.reading import laid_over
from matboard.studies.variants import FitVariant
from matboard.tasks.task import Task
from matboard.transfer import terms
from matboard.transfer.fit import Fit, FitState, Processes, Step
from matboard.transfer.methods import METHODS, Method

OWN_TO_METHODS = (
    "optimiser",
    "lr",
    "schedule",
    "warmup",
    "norm_scope",
    "per_picture",
    "diversity",
)
"""Settings that every method has a default of its own for."""


def recipe_of(settings: FitConfig) -> Method:
    """How a variant learns: what is asked, over its method's own. Raises ConfigError, UnknownName
    for a setting of the objective or the optimiser that is wrong.
    """
    method = METHODS[settings.method]
    asked = settings.model_dump(include=set(OWN_TO_METHODS), exclude_none=True)
    objective = terms.resolve(laid_over(method.objective, settings.objective))
    recipe = replace(method, **asked, objective=objective)
    recipe.build_optimiser(settings.steps)
    return recipe


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
        self.recipe = recipe_of(variant.settings)
        self._models = models
        self._processes = processes
        self._checkpoint_every = checkpoint_every
        machine = {"threads": torch.get_num_threads(), "processes": processes.count}
        content = _content(variant.settings, self.recipe, task, seed)
        super().__init__(
            store, variant.title, seed, content, machine, writes=processes.index == 0
        )

    def prompt(self) -> VisualPrompt:
        """The learned prompt, once it is finished."""
        return load_prompt(self.run.path("prompt"))

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
        return tuple(name for name in own if name not in self.recipe.objective)

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
            _check_encoders(run, checkpoint, encoders)
            fit.load_state(_state(checkpoint))
        saved = fit.step
        logged = fit.step
        yield Progress(stage, fit.step, len(fit), "resumed" if fit.step else "")
        try:
            for step in fit:
                if self.writes:
                    run.log(_row(step).as_line())
                    logged = step.index
                    if step.index % self._checkpoint_every == 0:
                        run.save_checkpoint(_checkpoint(fit.state(), encoders))
                        saved = step.index
                yield Progress(stage, step.index, len(fit), f"loss {step.loss:.3f}")
        finally:
            state = fit.state()
            if self.writes and saved < state.step < len(fit):
                if state.last is not None and logged < state.step:
                    run.log(
                        _row(state.last).as_line()
                    )  # a signal came between step and log
                run.save_checkpoint(_checkpoint(state, encoders))
        if self.writes:
            self._finish(run, fit, encoders)

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
            optimiser=self.recipe.build_optimiser(settings.steps),
            guide=guide,
            batch_size=settings.batch_size,
            micro_batch=settings.micro_batch,
            seed=self.seed,
            diversity=self.recipe.diversity,
            diagnose_every=settings.diagnose_every,
            processes=self._processes,
        )

    def _finish(self, run: Run, fit: Fit, encoders: dict[str, str]) -> None:
        """Save the prompt, then the results, which say that the fit is finished."""
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
            "library_version": __version__,
        }
        fit.prompt.to_artifact(record).save_pretrained(run.path("prompt"))
        results = FitResults(
            variant=self.variant.name,
            method=self.variant.settings.method,
            seed=self.seed,
            steps=fit.step,
            skipped=fit.skipped,
            seconds=sum(float(row.get("seconds") or 0) for row in run.metrics()),
            prompt="prompt",
        )
        run.write_results(results.as_json())
        run.drop_checkpoint()


def _content(
    settings: FitConfig, recipe: Method, task: Task, seed: int
) -> dict[str, Any]:
    """Everything that decides what is learned, readable."""
    asked = settings.model_dump(mode="json", exclude={"task", *OWN_TO_METHODS})
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


def _row(step: Step) -> StepRow:
    return StepRow(
        step=step.index,
        loss=step.loss,
        losses=step.losses,
        lr=step.lr,
        skipped=step.skipped,
        seconds=round(step.seconds, 4),
        gradient_norms=step.gradient_norms,
        gradient_cosines=step.gradient_cosines,
        per_model=step.per_model if len(step.per_model) > 1 else {},
        outlier_share=step.outlier_share,
        float32_cosine=step.float32_cosine,
    )


def _checkpoint(state: FitState, encoders: dict[str, str]) -> Checkpoint:
    arrays = {name: tensor.numpy() for name, tensor in state.tensors.items()}
    return Checkpoint(
        state.step, arrays, {"skipped": state.skipped, "encoders": encoders}
    )


def _state(checkpoint: Checkpoint) -> FitState:
    tensors = {
        name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()
    }
    return FitState(checkpoint.step, tensors, int(checkpoint.values["skipped"]))


def _check_encoders(run: Run, checkpoint: Checkpoint, encoders: dict[str, str]) -> None:
    before = checkpoint.values["encoders"]
    changed: Sequence[str] = [
        name for name in encoders if encoders[name] != before.get(name)
    ]
    if changed:
        raise RunError(
            f"The source model {changed[0]!r} has other weights than when the fit in {run.folder}"
            " was begun. Delete that folder to learn anew."
        )
