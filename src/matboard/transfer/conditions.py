"""The ways of showing a picture that a transfer table compares.

Without baselines a gain means nothing: the untouched picture, the picture shrunk behind a black
border, and a random border; a flat border too, where prompts were learned from one. All but the
first depend on the prompt's geometry, so they stand in a table once for every geometry in it, and
each prompt is compared with those of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL.Image import Image

from matboard.errors import ConfigError
from matboard.prompts.artifact import VisualPrompt
from matboard.results.transfer import Baseline, Condition, Origin

FULL: Baseline = "full"
BASELINES: dict[Baseline, str] = {
    "full": "no prompt, full picture",
    "shrunk": "no prompt, shrunk, black border",
    "random": "random border",
    "flat": "flat border of level {level:g}, before learning",
}
"""Which they are → what people read."""


@dataclass(frozen=True)
class Where:
    """Which model and which task prompts are for, by name; None for any."""

    model: str | None = None
    task: str | None = None


EVERYWHERE = Where()


@dataclass(frozen=True)
class Learned:
    """Prompts of one variant.

    Attributes:
        name: the variant's name in the table.
        prompts: for which models and tasks → one a seed.
        label: what people read.
        method: name of the registered method; None for prompts of unknown origin.
        seeds: of the prompts, in their order.
        bound: whether each model is shown prompts learned on itself: what transfer cannot exceed.
        origin: how they came to be, where a study knows it.
    """

    name: str
    prompts: Mapping[Where, tuple[VisualPrompt, ...]]
    label: str = ""
    method: str | None = None
    seeds: tuple[int, ...] = ()
    bound: bool = False
    origin: Origin | None = None

    @property
    def all(self) -> list[VisualPrompt]:
        """Its prompts, one after the other."""
        return [prompt for seeds in self.prompts.values() for prompt in seeds]


@dataclass(frozen=True)
class Showing:
    """A condition and what it takes to show it.

    Attributes:
        facts: as the results say it.
        prompts: for which models and tasks → one a seed; None for the untouched picture.
    """

    facts: Condition
    prompts: Mapping[Where, tuple[VisualPrompt | None, ...]]

    @property
    def name(self) -> str:
        """What cells call it."""
        return self.facts.name

    def at(
        self, model: str | None = None, task: str | None = None
    ) -> tuple[VisualPrompt | None, ...]:
        """What a model is shown on a task, one a seed; nothing where there is no prompt for it."""
        places = (Where(model, task), Where(None, task), Where(model), EVERYWHERE)
        found = (self.prompts[place] for place in places if place in self.prompts)
        return next(found, ())


@dataclass
class _Geometry:
    """Prompts of one geometry: what their baselines are made from."""

    words: str
    example: VisualPrompt
    prompts: int = 0
    levels: list[float] = field(default_factory=list)


def show(prompt: VisualPrompt | None, picture: Image) -> Image:
    """The picture a model gets to see."""
    return picture if prompt is None else prompt.apply(picture)


def conditions(variants: Sequence[Learned]) -> list[Showing]:
    """The baselines of every geometry, then every variant.

    Raises:
        ConfigError: no variant, one without prompts or with prompts of several geometries, two of
            one name, or one that is called like a baseline.
    """
    geometries = _geometries(variants)
    shown = [_baseline(FULL, None, (None,), alone=True)]
    for geometry in geometries.values():
        shown += _baselines(geometry, alone=len(geometries) == 1)
    _check_names(variants, [showing.name for showing in shown])
    return shown + [_variant(learned, shown) for learned in variants]


def as_learned(
    prompts: VisualPrompt
    | Sequence[VisualPrompt]
    | Mapping[str, Sequence[VisualPrompt]],
) -> list[Learned]:
    """Prompts as a user has them: one, several seeds of one, or several variants by name."""
    if isinstance(prompts, VisualPrompt):
        prompts = [prompts]
    named = prompts if isinstance(prompts, Mapping) else {"prompt": prompts}
    return [
        Learned(name, {EVERYWHERE: tuple(seeds)}, seeds=tuple(range(len(seeds))))
        for name, seeds in named.items()
    ]


def _geometries(variants: Sequence[Learned]) -> dict[str, _Geometry]:
    if not variants:
        raise ConfigError(
            "No prompt was given; a table compares at least one with its baselines."
        )
    found: dict[str, _Geometry] = {}
    for learned in variants:
        words = {prompt.geometry for prompt in learned.all}
        if len(words) != 1:
            raise ConfigError(
                f"The prompts of {learned.name!r} have {len(words)} geometries"
                f" ({'; '.join(sorted(words)) or 'there are none'}); expected one. Give each"
                " geometry a name of its own."
            )
        only = words.pop()
        example = learned.all[0]
        geometry = found.setdefault(only, _Geometry(only, example))
        seeds = max(map(len, learned.prompts.values()))
        geometry.prompts = max(geometry.prompts, seeds)
        level = example.config.get("level")
        if level is not None and level not in geometry.levels:
            geometry.levels.append(level)
    return found


def _baselines(geometry: _Geometry, alone: bool) -> list[Showing]:
    example = geometry.example
    noise = tuple(example.noise(seed) for seed in range(geometry.prompts))
    shown = [
        _baseline("shrunk", geometry.words, (example.blank(),), alone),
        _baseline("random", geometry.words, noise, alone),
    ]
    for level in geometry.levels:
        several = len(geometry.levels) > 1
        flat = (example.flat(level),)
        shown.append(_baseline("flat", geometry.words, flat, alone, level, several))
    return shown


def _baseline(
    kind: Baseline,
    geometry: str | None,
    prompts: tuple[VisualPrompt | None, ...],
    alone: bool,
    level: float | None = None,
    several_levels: bool = False,
) -> Showing:
    own = [] if not several_levels else [f"level {level:g}"]
    own += [] if alone or geometry is None else [geometry]
    label = BASELINES[kind].format(level=level)
    seeds = tuple(range(len(prompts))) if kind == "random" else ()
    facts = Condition(
        name=", ".join([kind, *own]),
        label=label,
        role="baseline",
        baseline=kind,
        geometry=geometry,
        seeds=seeds,
    )
    return Showing(facts, {EVERYWHERE: prompts})


def _variant(learned: Learned, baselines: Sequence[Showing]) -> Showing:
    prompt = learned.all[0]
    geometry = prompt.geometry
    level = prompt.config.get("level")
    facts = Condition(
        name=learned.name,
        label=learned.label or learned.name,
        role="bound" if learned.bound else "method",
        method=learned.method,
        geometry=geometry,
        seeds=learned.seeds,
        compared_with=tuple(b.name for b in baselines if _belongs(b, geometry, level)),
        origin=learned.origin,
    )
    return Showing(facts, learned.prompts)


def _belongs(baseline: Showing, geometry: str, level: float | None) -> bool:
    """Whether a prompt of that geometry, learned from that level, is compared with a baseline."""
    facts = baseline.facts
    if facts.baseline == FULL:
        return True
    if facts.baseline == "flat":
        shown = baseline.at()[0]
        own = None if shown is None else shown.config.get("level")
        return facts.geometry == geometry and own == level
    return facts.geometry == geometry


def _check_names(variants: Sequence[Learned], taken: Sequence[str]) -> None:
    names = list(taken)
    for learned in variants:
        if learned.name in BASELINES or learned.name in names:
            raise ConfigError(
                f"A prompt cannot be called {learned.name!r} in this table: that is the name of"
                " another row. Give it a name of its own."
            )
        names.append(learned.name)
