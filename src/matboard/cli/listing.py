"""``matboard list``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from matboard import settings
from matboard.cli.console import out
from matboard.registry import OWN_PACKAGE, Registry

What = Literal[
    "models", "families", "tasks", "metrics", "prompts", "objectives", "learners"
]


def list_names(
    what: Annotated[
        What,
        typer.Argument(
            metavar="WHAT",
            help="models, families, tasks, metrics, prompts, objectives or learners.",
            show_default=False,
        ),
    ],
) -> None:
    """Print the names that configurations and other commands understand."""
    lines = {
        "models": _models,
        "families": _families,
        "tasks": _tasks,
        "metrics": _metrics,
        "prompts": _prompts,
        "objectives": _objectives,
        "learners": _learners,
    }[what]()
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _models() -> list[str]:
    from matboard.zoo import published
    from matboard.zoo.names import describe

    return [
        *describe(settings.cache_dir()),
        *published.describe(),
        "any Hub id or folder of a transformers image-text-to-text model, a dual encoder (CLIP,",
        "SigLIP) or an image classifier",
        "openai:MODEL@URL: a model behind any OpenAI-compatible chat endpoint",
    ]


def _families() -> list[str]:
    from matboard.models.families import FAMILIES

    return [
        *_names(FAMILIES),
        "others whose official processor loads are taken too",
    ]


def _tasks() -> list[str]:
    from matboard.tasks import TASKS
    from matboard.tasks.corruptions import KINDS

    return [
        *_names(TASKS),
        "a folder of class folders (or of train/ and test/ holding them)",
        "a JSONL file with image, question, answer or answers, candidates, caption",
        "a CSV file with the same columns, or LLaVA's JSON of conversations",
        "an npz or parquet file, or a folder of them named after train and test",
        "a YAML file that names a data set on the Hub, or parquet files, and their columns",
        "any of them corrupted as in ImageNet-C and CIFAR-10-C: NAME/KIND-SEVERITY, 1 to 5,",
        f"  {', '.join(KINDS[:8])},",
        f"  {', '.join(KINDS[8:])}",
    ]


def _metrics() -> list[str]:
    from matboard.metrics import METRICS

    return _names(METRICS)


def _names(registry: Registry) -> list[str]:
    """Names, and for those of other packages, whose they are."""
    lines = []
    for name in registry:
        package = registry.package(name)
        lines.append(
            name if package == OWN_PACKAGE else f"{name:26}of the package {package}"
        )
    return lines


def _prompts() -> list[str]:
    return [
        "border  a ring of pixels around the shrunk picture (VP, EVP, TVP); prompt.width",
        "patch   a square over the picture; prompt.width is its side",
        "full    an additive pattern over the whole picture",
        (
            "any of them with prompt.resolution: learned small, upsampled; prompt.level: where it"
            " starts (border: 0 black, 0.5 grey)"
        ),
        "value ranges: clamped (default), sigmoid, free",
    ]


def _objectives() -> list[str]:
    from matboard.transfer.methods import METHODS
    from matboard.transfer.terms import TERMS

    methods = []
    for name, method in METHODS.items():
        weights = [
            f"{term}={options['weight']}" for term, options in method.objective.items()
        ]
        settings = [f"lr={method.lr:g}", f"schedule={method.schedule}", *weights]
        methods.append(f"{name:4} {method.optimiser}, {', '.join(settings)}")
    return [
        *methods,
        f"terms: {', '.join(TERMS)}",
        "forms of the terms: objective.preset=paper (default) or authors-code",
    ]


def _learners() -> list[str]:
    from matboard.continual.build import LEARNERS, options_of
    from matboard.zoo.names import BACKBONES

    lines = []
    for name in LEARNERS:
        options = [option for option in options_of(name) if option != "seed"]
        lines.append(f"{name:20} options: {', '.join(options) or 'none'}")
    backbones = [f"  {name:18} {what}" for name, what in BACKBONES.items()]
    return [
        *lines,
        "backbones:",
        *backbones,
        "  any Hub id or folder of a vision transformer",
    ]
