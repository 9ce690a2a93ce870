"""What an objective needs and cannot have is said before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from matboard.errors import (
    ConfigError,
    ModelError,
    PreprocessingMismatch,
    TaskError,
    UnknownName,
)
from matboard.models.capabilities import (
    FrozenModel,
    Guide,
    HasFeatures,
    HasLikelihoods,
    Learnable,
    Ranks,
    require,
)
from matboard.tasks.task import Task
from matboard.transfer.objective import Objective
from matboard.transfer.terms.term import Term


def needed_guide(objective: Objective, guide: Guide | None) -> Guide | None:
    """The guide, if some term asks for it. Raises ConfigError where one does and there is none."""
    asking = [term.title for term in objective.terms if term.needs.guide]
    if asking and guide is None:
        raise ConfigError(
            f"The objective has {' and '.join(asking)}, but no guide was given; name an image-text"
            " model as guide, or set the weight to 0."
        )
    return guide if asking else None


def check_models(
    models: Sequence[Learnable], guide: Guide | None, objective: Objective
) -> None:
    """Whether an objective can be learned on these models.

    Raises:
        ConfigError: no model, or two of the same name.
        ModelError: a model lacks what a term needs.
        UnknownName: a model has no tap where a term reads features.
        PreprocessingMismatch: a model, or the guide, gives no faithful gradient.
    """
    check_names(models)
    for model in models:
        for term in objective.terms:
            _check_ability(model, term)
    learned_through: list[Learnable | Guide] = [*models]
    if guide is not None:
        learned_through.append(guide)
    for part in learned_through:
        if part.refusal is not None:
            raise PreprocessingMismatch(
                f"No prompt can be learned on {part.name}. {part.refusal}"
            )


def check_samples(task: Task, objective: Objective) -> None:
    """Raises TaskError for a training sample that lacks what a term needs."""
    comparing = [term.title for term in objective.terms if term.needs.candidates]
    if not comparing:
        return
    for sample in task.train:
        if not sample.candidates:
            raise TaskError(
                f"Sample {sample.id!r} of task {task.name!r} has no candidates, which"
                f" {comparing[0]} compares; give it the answers to choose from."
            )


def check_names(models: Sequence[FrozenModel]) -> None:
    """Raises ConfigError for no model, or two of the same name."""
    if not models:
        raise ConfigError(
            "No source model was given; a prompt is learned on at least one."
        )
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two source models are called {name!r}; give each once, by a name of its own:"
                " what is kept of a model is found by it."
            )


def _check_ability(model: Learnable, term: Term) -> None:
    if term.needs.answers and not isinstance(model, HasLikelihoods):
        raise ModelError(
            f"{model.name} ({type(model).__name__}) gives no answer a likelihood of its own, which"
            f" {term.title} needs; it only compares candidates. Learn on it with 'objective:"
            f" {{{term.name}: {{weight: 0}}, candidate_contrast: {{weight: 1}}}}'."
        )
    if term.needs.candidates:
        require(model, Ranks, doing=term.title)
    for tap in sorted(term.needs.taps):
        featured = require(model, HasFeatures, doing=term.title)
        if tap not in featured.taps:
            raise UnknownName(f"tap of {model.name}", tap, featured.taps)
