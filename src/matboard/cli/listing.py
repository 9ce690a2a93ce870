"""``matboard list``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from matboard import settings
from matboard.cli.console import out


def list_names(
    what: Annotated[
        Literal["models", "tasks", "prompts", "objectives", "learners"],
        typer.Argument(
            metavar="WHAT",
            help="models, tasks, prompts, objectives or learners.",
            show_default=False,
        ),
    ],
) -> None:
    """Print the names that configurations and other commands understand."""
    lines = {
        "models": _models,
        "tasks": _tasks,
        "prompts": _prompts,
        "objectives": _objectives,
        "learners": _learners,
    }[what]()
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _models() -> list[str]:
    from matboard.zoo.names import describe

    return [
        *describe(settings.cache_dir()),
        "any Hub id or folder of a transformers image-text-to-text model",
    ]


def _tasks() -> list[str]:
    from matboard.tasks import TASKS

    return [
        *TASKS,
        "a folder of class folders (or of train/ and test/ holding them)",
        "a JSONL file with image, question, answer, candidates, caption",
    ]


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
        weights = [f"{term}={options['weight']}" for term, options in method.objective.items()]
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

    lines = [
        f"{name:20} options:"
        f" {', '.join(key for key in options_of(name) if key != 'seed') or 'none'}"
        for name in LEARNERS
    ]
    return [
        *lines,
        "backbones:",
        *(f"  {name:18} {what}" for name, what in BACKBONES.items()),
        "  any Hub id or folder of a vision transformer",
    ]
