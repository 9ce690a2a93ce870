"""A variant's recipe at work: by gradients where it follows them, else by what models answer."""

from __future__ import annotations

from collections.abc import Sequence

from matboard.errors import ModelError
from matboard.models.capabilities import FrozenModel, Guide, Learnable
from matboard.studies.config import FitConfig
from matboard.studies.recipe import build_prompt
from matboard.tasks.task import Task
from matboard.transfer import black_box, terms
from matboard.transfer.black_box.fit import BlackBoxFit
from matboard.transfer.black_box.losses import loss_of
from matboard.transfer.checks import check_models
from matboard.transfer.fit import Fit
from matboard.transfer.fitting import Fitting
from matboard.transfer.methods import METHODS, Method
from matboard.transfer.processes import Processes
from matboard.transfer.terms.candidate_contrast import CandidateContrast


def begin(
    settings: FitConfig,
    recipe: Method,
    models: Sequence[FrozenModel],
    task: Task,
    *,
    guide: Guide | None,
    seed: int,
    processes: Processes,
) -> Fitting:
    """A fit before its first step, ``recipe.steps`` long. Raises InputError where models, task and
    recipe do not go together.
    """
    assert recipe.steps is not None
    if recipe.black_box is not None:
        return BlackBoxFit(
            build_prompt(settings.prompt),
            models,
            task,
            way=black_box.way(recipe.optimiser, recipe.black_box),
            schedule=recipe.build_schedule(recipe.steps),
            contrast=CandidateContrast(**recipe.objective[CandidateContrast.name]),
            batch_size=settings.batch_size,
            micro_batch=settings.micro_batch,
            seed=seed,
            diversity=recipe.diversity,
            validation=recipe.build_validation(),
            processes=processes,
        )
    return Fit(
        build_prompt(settings.prompt),
        [learnable(model) for model in models],
        task,
        objective=terms.objective(recipe.objective),
        optimiser=recipe.build_optimiser(recipe.steps),
        guide=guide,
        batch_size=settings.batch_size,
        micro_batch=settings.micro_batch,
        seed=seed,
        diversity=recipe.diversity,
        diagnose_every=settings.diagnose_every,
        validation=recipe.build_validation(),
        processes=processes,
    )


def check_learnable(recipe: Method, models: Sequence[FrozenModel], task: Task) -> None:
    """Whether something can be learned on models. Raises InputError."""
    if recipe.black_box is not None:
        loss_of(models, task)
        return
    learned = [learnable(model) for model in models]
    check_models(learned, None, terms.objective(recipe.objective))


def learnable(model: FrozenModel) -> Learnable:
    """The model itself, known to give gradients. Raises ModelError, which says what does without
    them.
    """
    if not isinstance(model, Learnable):
        raise ModelError(without_gradients(f"{model.name} ({type(model).__name__})"))
    return model


def without_gradients(name: str) -> str:
    """Why nothing can be learned by gradients on a model, and what to do."""
    others = " or ".join(
        name for name, own in METHODS.items() if own.black_box is not None
    )
    return (
        f"{name} gives no gradient to the pixels, which the methods that follow one need. Learn on"
        f" it by one that only asks what it answers: {others}."
    )
