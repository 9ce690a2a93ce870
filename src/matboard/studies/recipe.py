"""What a variant of a study learns by: its method's settings, and what is asked over them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from matboard import __version__
from matboard.errors import ConfigError
from matboard.prompts.canvas import Canvas, Patch
from matboard.prompts.pixel import PixelPrompt
from matboard.studies.config import FitConfig, PromptConfig
from matboard.studies.reading import laid_over
from matboard.studies.variants import LENGTHS
from matboard.tasks.task import Task
from matboard.transfer import black_box, terms
from matboard.transfer.black_box.proposer import Proposer
from matboard.transfer.methods import CANDIDATES, METHODS, Method
from matboard.transfer.queries import Queries
from matboard.transfer.validation import split

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
    "queries",
)
"""Settings that every method has a default of its own for."""


def recipe_of(settings: FitConfig) -> Method:
    """How a variant learns: what is asked, over its method's own. Raises ConfigError, UnknownName
    for a setting of the objective or of the way without gradients that is wrong.
    """
    method = METHODS[settings.method]
    asked = settings.model_dump(include=set(OWN_TO_METHODS), exclude_none=True)
    if not asked.keys().isdisjoint(LENGTHS):
        asked = {**dict.fromkeys(LENGTHS), **asked}
    if settings.optimiser not in (None, method.optimiser):
        method = replace(method, norm_scope=None)
    objective = terms.resolve(laid_over(method.objective, settings.objective))
    validation = settings.validation
    recipe = replace(method, **asked, objective=objective, validation=validation)
    return replace(recipe, black_box=_black_box(settings, method, recipe))


def _black_box(
    settings: FitConfig, method: Method, recipe: Method
) -> dict[str, Any] | None:
    """All options of a variant's way without gradients; None where it follows gradients."""
    name = recipe.optimiser
    if name not in black_box.BLACK_BOXES:
        if settings.black_box:
            raise ConfigError(
                f"black_box is set, but {settings.method} follows gradients; set it for the methods"
                f" that do not ({', '.join(black_box.BLACK_BOXES)}) alone."
            )
        return None
    _refuse_gradients(recipe)
    own = method.black_box if method.optimiser == name else None
    return black_box.resolve(name, {**(own or {}), **settings.black_box})


def _refuse_gradients(recipe: Method) -> None:
    """Settings that mean nothing where no gradient is taken. Raises ConfigError."""
    unused: dict[str, Any] = {"norm_scope": None, "per_picture": "sum"}
    if recipe.optimiser == "cma":
        unused |= {"schedule": "constant", "warmup": 0}
    for key, meaningless in unused.items():
        said = getattr(recipe, key)
        if said != meaningless:
            raise ConfigError(
                f"{key} is {said}, which {recipe.optimiser} has no use for; set it for the other"
                " methods alone."
            )
    counted = [name for name, said in recipe.objective.items() if said["weight"]]
    known = [name for name, said in CANDIDATES.items() if said["weight"]]
    if counted != known:
        raise ConfigError(
            f"{recipe.optimiser} learns by {known[0]} alone, but the objective has"
            f" {', '.join(counted)}; set it for the other methods alone."
        )


def in_steps(recipe: Method, settings: FitConfig, task: Task, seed: int) -> Method:
    """The same recipe, its length in steps. Raises ConfigError where it is none, or not even one
    step; TaskError where validation leaves nothing to learn from.
    """
    validation = recipe.build_validation()
    learned, held = split(validation, task, seed)
    if recipe.queries is not None:
        tried = (recipe.black_box or {}).get("proposals", 1)
        a_step = settings.batch_size * tried
        queries = Queries.of(a_step, len(settings.sources), validation, held)
        steps = queries.steps_within(recipe.queries)
    else:
        steps = recipe.steps_over(len(learned.train), settings.batch_size)
    return replace(recipe, steps=steps, epochs=None, queries=None)


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


def build_proposer(recipe: Method, prompt: PixelPrompt) -> Proposer:
    """What a recipe without gradients proposes by, to see that it can. Raises ConfigError,
    MissingExtra.
    """
    way = black_box.way(recipe.optimiser, recipe.black_box or {})
    start = prompt.delta.detach()[prompt.acting]
    return way(start, prompt.bounds, recipe.build_schedule(1), 0)


def content_of(
    settings: FitConfig, recipe: Method, task: Task, seed: int
) -> dict[str, Any]:
    """Everything that decides what is learned, readable. What only methods without gradients have
    stands there for them alone.
    """
    by_method = {"task", "validation", "black_box", *OWN_TO_METHODS}
    asked = settings.model_dump(mode="json", exclude=by_method)
    told = asdict(recipe)
    del told["queries"]  # told in steps
    if recipe.black_box is None:
        del told["black_box"]
    return {
        "kind": "pixel-fit",
        "matboard": __version__,
        **asked,
        **told,
        "task": {
            "name": task.name,
            "mirror": task.mirror,
            "fingerprint": task.train_fingerprint,
        },
        "seed": seed,
    }
