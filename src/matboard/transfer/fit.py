"""Learn one pixel prompt on one or several frozen models.

    for step in fit(prompt, models, task, objective=Objective(), optimiser=optimiser):
        print(step.index, step.losses)

Several source models make an ensemble: the loss is the mean of theirs (TVP §4.3). What the terms of
the objective are, nothing here knows: each says what it needs, and what several need is computed
once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from matboard.errors import ConfigError
from matboard.models.capabilities import Guide, Learnable, require
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.checks import check_models, check_samples, needed_guide
from matboard.transfer.fitting import Fitting, Made
from matboard.transfer.gradients import Gradients
from matboard.transfer.methods import by_name
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import Optimiser, Slope
from matboard.transfer.pictures import PictureRule
from matboard.transfer.processes import Processes
from matboard.transfer.slopes import Slopes
from matboard.transfer.steps import DELTA, FitState, Step
from matboard.transfer.validation import Validation, split

__all__ = ["Fit", "FitState", "Processes", "Step", "fit"]


class Fit(Fitting):
    """A fit that follows gradients; see `Fitting`.

    Args:
        prompt: what is learned; nothing else changes.
        models: source models; more than one makes an ensemble.
        task: its training part is learned from.
        guide: needed where a term asks for one.
        batch_size: samples of one step over all processes.
        micro_batch: samples that go through a model at once; None: all that a process has. The
            gradients of these parts are summed in their order, whichever process has which, so that
            with it any number of processes learn the same to the last bit, on machines and thread
            counts that are the same.
        diversity: random flips and crops of the picture (not of the prompt).
        diagnose_every: on every so-manieth step the terms' gradients are taken apart, which costs
            one more backward pass; 0 never.
        validation: holds out a part of the training samples, keeps the prompt that is best on
            them, and may end the fit before its last step; None learns from all of them.
        processes: None asks Accelerate.

    Raises:
        ConfigError: no model, no guide where one is needed, or a batch that its processes or parts
            cannot share.
        ModelError: a model lacks what a term or validation needs.
        PreprocessingMismatch: a model or the guide cannot be learned on; see ``refusal``.
        TaskError: samples lack what a term or validation needs, or validation leaves none.
    """

    nothing = (
        "no gradient was finite. Learn in float32, on models whose weights are finite, or with"
        " smaller weights of the objective's terms."
    )

    def __init__(
        self,
        prompt: PixelPrompt,
        models: Sequence[Learnable],
        task: Task,
        *,
        objective: Objective,
        optimiser: Optimiser,
        guide: Guide | None = None,
        batch_size: int = 16,
        micro_batch: int | None = None,
        seed: int = 0,
        diversity: bool = True,
        diagnose_every: int = 10,
        validation: Validation | None = None,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes.here()
        guide = needed_guide(objective, guide)
        check_models(models, guide, objective)
        check_samples(task, objective)
        super().__init__(
            prompt,
            models,
            task,
            steps=optimiser.schedule.steps,
            tried=1,
            batch_size=batch_size,
            seed=seed,
            diversity=diversity,
            validation=validation,
            processes=processes,
        )
        self.objective = objective
        self.optimiser = optimiser
        self._slopes = Slopes(
            prompt,
            [require(model, Learnable, doing="learning") for model in self.models],
            guide,
            objective,
            self.batches,
            processes,
            parts=processes.count_parts(batch_size, micro_batch),
            rule=PictureRule(optimiser.per_picture, prompt.mask),
            diagnose_every=diagnose_every,
        )
        self._start(optimiser.memory(prompt.delta.detach()))

    def _made(self, now: FitState) -> Made:
        """See `Fitting`."""
        gradients = self._slopes.gradients(now.step)
        slope = self._slopes.slope(gradients)
        changed: dict[str, Tensor] = {}
        if bool(slope.values.isfinite().all() and slope.canvas.isfinite().all()):
            changed = self._updated(slope, now)
        return Made(changed, self._told(gradients, now.step))

    @torch.no_grad()
    def _updated(self, slope: Slope, now: FitState) -> dict[str, Tensor]:
        values = now.tensors[DELTA]
        update = self.optimiser.update(values, slope, now.step, now.memory)
        return {DELTA: self.prompt.projected(update.values), **update.memory}

    def _told(self, gradients: Gradients, step: int) -> Step:
        losses = {name: float(value) for name, value in gradients.losses.items()}
        return Step(
            index=step + 1,
            loss=self.objective.total(losses),
            losses=losses,
            lr=self.optimiser.schedule.at(step),
            gradient_norms=gradients.norms(),
            gradient_cosines=gradients.cosines(self.prompt.mask),
            per_model=gradients.per_model(),
            outlier_share=gradients.outlier_share,
            float32_cosine=gradients.float32_cosine,
        )


def fit(
    prompt: PixelPrompt,
    models: Learnable | Sequence[Learnable],
    task: Task,
    *,
    method: str | None = None,
    steps: int | None = None,
    objective: Objective | None = None,
    optimiser: Optimiser | None = None,
    guide: Guide | None = None,
    batch_size: int = 16,
    seed: int = 0,
    diversity: bool | None = None,
    validation: Validation | None = None,
) -> Fit:
    """Learn ``prompt`` on frozen ``models``: an iterator of `Step`, ``steps`` long, or less where
    ``validation`` ends it. Nothing is learned before it is iterated or `Fit.run`. See `Fit`.

    Args:
        method: how, by name (`methods.METHODS`): ``vp``, ``evp``, ``tvp`` or ``matboard``; it says
            whatever is left out of ``objective``, ``optimiser``, ``diversity``, ``validation``.
        steps: of a fit by a method; the method's own where None. An optimiser given by itself has
            its own.

    Raises:
        UnknownName: no such method.
        ConfigError: neither a method nor both an objective and an optimiser came, or steps for an
            optimiser that has its own; what `Fit` refuses.
    """
    if method is not None:
        own = by_name(method)
        if own.black_box is not None:
            raise ConfigError(
                f"{method} follows no gradients; learn by matboard.transfer.black_box.fit's"
                " BlackBoxFit."
            )
        objective = objective or own.build_objective()
        validation = validation or own.build_validation()
        diversity = own.diversity if diversity is None else diversity
        if optimiser is None:
            learned, _ = split(validation, task, seed)
            steps = own.steps_over(len(learned.train), batch_size, steps)
            optimiser, steps = own.build_optimiser(steps), None
    if objective is None or optimiser is None:
        raise ConfigError(
            "A fit needs to know how it learns: give a method ('matboard', 'tvp', 'evp' or 'vp'),"
            " or an objective and an optimiser."
        )
    if steps is not None:
        raise ConfigError(
            f"steps is {steps}, but the optimiser's schedule has"
            f" {optimiser.schedule.steps}; say it there alone."
        )
    return Fit(
        prompt,
        [models] if isinstance(models, Learnable) else list(models),
        task,
        objective=objective,
        optimiser=optimiser,
        guide=guide,
        batch_size=batch_size,
        seed=seed,
        diversity=True if diversity is None else diversity,
        validation=validation,
    )
