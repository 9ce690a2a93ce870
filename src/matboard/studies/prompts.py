"""Learn pixel prompts and judge them: the main journey, from a configuration to a run folder.

A study is a generator of `Progress`; whoever drives it draws the bars. It can be stopped at any
moment, by Ctrl-C, a kill or a power cut, and started again in the same folder: finished fits and
scores are found, an unfinished fit goes on at its last checkpoint and reaches the very tensor it
would have reached.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matboard.errors import ConfigError, ModelError
from matboard.models.devices import called, device_of
from matboard.prompts.artifact import VisualPrompt
from matboard.results import StepRow
from matboard.results.shown import PromptFacts
from matboard.results.transfer import Origin, Setting
from matboard.runs import Run
from matboard.studies.config import ModelConfig, StudyConfig
from matboard.studies.engine import (
    Executor,
    InStep,
    Together,
    alone,
    already_made,
    begun,
    found,
    merge_logs,
    session_notes,
    write_plan,
)
from matboard.studies.judging import Judging
from matboard.studies.loading import Models, with_options
from matboard.studies.on_ray import on_ray
from matboard.studies.pixel_fit import PixelFit
from matboard.studies.planning import Plan, Planner
from matboard.studies.progress import Progress
from matboard.studies.recipe import build_prompt, build_proposer, recipe_of
from matboard.studies.starting import without_gradients
from matboard.studies.tracking import tracked
from matboard.studies.variants import ITSELF, FitVariant, fit_variants
from matboard.transfer import terms
from matboard.transfer.balance import balance_notes, outlier_notes
from matboard.transfer.conditions import Learned, Where
from matboard.transfer.evaluate import check_tasks
from matboard.transfer.fit import Processes
from matboard.transfer.rounding import rounding_notes
from matboard.transfer.terms import TERMS


def study(
    config: StudyConfig,
    out: Path,
    *,
    store: Path | None = None,
    device: str | None = None,
    options: ModelConfig | None = None,
) -> Iterator[Progress]:
    """Learn a prompt for each variant and seed, judge them all, write the run folder.

    Args:
        out: the run folder; created, or taken up where it was left.
        store: where fits and scores lie, to be found by other studies too; by default ``out``.
        device: where models run; a GPU where there is one, if None.
        options: what every model is loaded with, over what the study says of it.

    Raises:
        InputError: before anything heavy starts, whatever in the configuration cannot be had.
    """
    processes = Processes.here()
    work = _study(config, out, store or out, processes, device, options)
    yield from tracked(work, out, config.tracking if processes.index == 0 else [])


def _study(
    config: StudyConfig,
    out: Path,
    place: Path,
    processes: Processes,
    device: str | None,
    options: ModelConfig | None,
) -> Generator[Progress, None, None]:
    started = time.perf_counter()
    config.executor.check(processes.count)
    config = _with_options(config, options)
    models = Models(config.models, device)
    plan = _plan(config, place, models, processes)
    run = begun(out, config.asked, place) if processes.index == 0 else Run(out)
    yield from found(plan.all_fits)
    if already_made(run, plan.made_from):
        yield Progress("judge", 1, 1, "found")
        return
    executor: Executor = Together(place) if processes.count == 1 else InStep()
    if processes.index == 0:
        write_plan(run, "transfer", plan.all_fits)
    if config.executor.name == "ray":
        yield from on_ray(run, plan.all_fits, config.executor, plan.made_from)
        return
    yield from executor.run(plan.all_fits)
    if processes.index > 0:
        return
    with alone(run):
        merge_logs(run, plan.all_fits)
    judging = replace(
        _judging(config, run, place, plan), device=called(device_of(device))
    )
    loaded = models.judged(judging.models, judging.precision)
    yield from judging.carry_out(loaded, executor, started)


def _with_options(config: StudyConfig, options: ModelConfig | None) -> StudyConfig:
    """The study with options for each of its models: they decide what is learned, so they stand in
    its configuration.
    """
    if options is None:
        return config
    names = list(config.evaluate.models)
    for variant in fit_variants(config):
        names += variant.settings.sources
    told = with_options(config.models, list(dict.fromkeys(names)), options)
    return config.model_copy(update={"models": told})


def _plan(
    config: StudyConfig, place: Path, models: Models, processes: Processes
) -> Plan:
    """Everything that will be done; whatever cannot be had is refused here."""
    variants = fit_variants(config)
    for variant in variants:
        check_variant(variant)
        check_sources(variant, models)
    planner = Planner(config, place, models, processes)
    check_tasks(planner.judged, config.evaluate.scorers)
    guides = {v.settings.guide for v in variants if v.settings.guide is not None}
    models.look_up(planner.models_of(variants), sorted(guides))
    return planner.plan(variants)


def check_variant(variant: FitVariant) -> None:
    """Build what is cheap to build. Raises ConfigError."""
    settings = variant.settings
    prompt = build_prompt(settings.prompt)
    recipe = recipe_of(settings)
    if recipe.black_box is None:
        recipe.build_optimiser(steps=max(1, recipe.warmup))
    else:
        build_proposer(recipe, prompt)
    objective = terms.objective(recipe.objective)
    if objective.needs.guide and settings.guide is None:
        term = objective.of_guide[0]
        raise ConfigError(
            f"{variant.name} is learned with {term.title}, which needs a guide, but the study names"
            " none. Add one, such as 'guide: tiny-guide', or set"
            f" methods.{variant.name}.objective.{term.name}.weight to 0."
        )


def check_sources(variant: FitVariant, models: Models) -> None:
    """Raises ModelError for a closed model where gradients are followed."""
    if recipe_of(variant.settings).black_box is not None:
        return
    for name in variant.settings.sources:
        if models.is_closed(name):
            raise ModelError(without_gradients(name))


# -- judging ---------------------------------------------------------------------------------------


def _judging(config: StudyConfig, run: Run, place: Path, plan: Plan) -> Judging:
    return Judging(
        run=run,
        store=place,
        variants=_columns(plan),
        sources=plan.sources,
        models=plan.models,
        tasks=plan.judged,
        config=config.evaluate,
        title=config.title,
        precision=config.evaluate.precision or config.precision,
        prompts=[_facts(fit) for fit in plan.all_fits],
        shipped=_facts(plan.fits_of(plan.variants[-1])[0]),
        notes=_notes(plan),
        made_from=plan.made_from,
    )


def _columns(plan: Plan) -> list[Learned]:
    """Every variant, and what a model could learn of itself."""
    columns = {}
    for variant in plan.variants:
        fits = plan.fits_of(variant)
        columns[variant.name] = _learned(fits, _label(fits[0]))
    if plan.itself and plan.on_itself:
        label = f"{columns[plan.itself].label} learned on itself"
        own = _learned(plan.on_itself, label)
        columns[ITSELF] = replace(own, bound=True, origin=None)
    return list(columns.values())


def _learned(fits: Sequence[PixelFit], label: str) -> Learned:
    prompts: dict[Where, tuple[VisualPrompt, ...]] = {}
    for fit in fits:
        where = fit.variant.where
        prompts[where] = (*prompts.get(where, ()), fit.prompt())
    return Learned(
        name=fits[0].variant.name,
        prompts=prompts,
        label=label,
        method=fits[0].variant.settings.method,
        seeds=tuple(dict.fromkeys(fit.seed for fit in fits)),
        origin=_origin(fits[0]),
    )


def _origin(fit: PixelFit) -> Origin:
    variant = fit.variant
    weighed = terms.objective(fit.recipe.objective).terms
    return Origin(
        variant=variant.base or variant.name,
        swept={key: _plain(value) for key, value in variant.swept.items()},
        sources=tuple(variant.settings.sources),
        task=None if variant.where.task else variant.settings.task.name,
        terms={term.name: term.weight for term in weighed},
    )


def _plain(value: Any) -> Setting:
    """A value of a grid, as results hold it."""
    if isinstance(value, list):
        return tuple(map(str, value))
    if isinstance(value, bool | int | float | str | None):
        return value
    return str(value)


def _label(fit: PixelFit) -> str:
    """The variant's name, in capitals where it is a method's, and what a grid set; and what it
    lacks of its method.
    """
    variant = fit.variant
    name = variant.base or variant.name
    shown = name.upper() if name == variant.settings.method else name
    swept = [f"{key} {_words(value)}" for key, value in variant.swept.items()]
    shown = ", ".join([shown, *swept])
    without = [TERMS.load(term).title for term in fit.left_out]
    return f"{shown} without {', '.join(without)}" if without else shown


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _place(fit: PixelFit) -> str:
    """Where the study keeps its copy of a prompt, whose card tells the scores."""
    return f"prompts/{fit.name}"


def _facts(fit: PixelFit) -> PromptFacts:
    return PromptFacts(
        condition=fit.variant.name,
        model=fit.variant.where.model,
        task=fit.variant.where.task,
        method=fit.variant.settings.method,
        seed=fit.seed,
        run=fit.name,
        folder=_place(fit),
        geometry=fit.prompt().geometry,
        skipped_terms=fit.left_out,
    )


def _notes(plan: Plan) -> list[str]:
    """What a reader of the table must know of how the prompts were learned."""
    notes = list(plan.notes)
    for variant in plan.variants:
        lines = [line for fit in plan.fits_of(variant) for line in fit.run.metrics()]
        rows = [StepRow.model_validate(line) for line in lines]
        recipe = recipe_of(variant.settings)
        key = f"methods.{variant.name}"
        notes += balance_notes(
            terms.objective(recipe.objective),
            [row.gradient_norms for row in rows],
            label=variant.name,
            key=f"{key}.objective",
        )
        if recipe.per_picture == "sum":
            shares = [row.outlier_share for row in rows]
            notes += outlier_notes(shares, label=variant.name, key=key)
        cosines = [row.float32_cosine for row in rows]
        notes += rounding_notes(cosines, label=variant.name, key=key)
        if silent := sum(row.unanswered for row in rows):
            notes.append(
                f"{variant.name}: {silent} pictures were left out of its learning, because a source"
                " model did not answer about them."
            )
        notes += _unconverged(variant.name, plan.fits_of(variant))
    notes += _unconverged(ITSELF, plan.on_itself)
    learned_on = {tuple(variant.settings.sources) for variant in plan.variants}
    if len(learned_on) > 1:
        listed = [f"{v.name} on {', '.join(v.settings.sources)}" for v in plan.variants]
        notes.append(
            f"Prompts were learned on different models ({'; '.join(listed)}); a model that any of"
            " them was learned on counts as a source."
        )
    return notes + session_notes(plan.all_fits)


def _unconverged(variant: str, fits: Sequence[PixelFit]) -> list[str]:
    """A sentence on those of a variant's fits that learned until their steps ran out."""
    short = [fit.name for fit in fits if fit.results().converged is False]
    if not short:
        return []
    return [
        f"{variant}: {len(short)} of {len(fits)} fits had not converged when their steps ran out"
        f" ({', '.join(short)}); more steps may give better prompts."
    ]
