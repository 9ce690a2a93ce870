"""``matboard convert``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from matboard.cli.console import say, tell
from matboard.errors import ModelError, UnknownName
from matboard.extras import require

_PLACE = "LAVIS's .pth file, or a BLIP-2 in transformers' layout (folder or Hub id)"


def convert(
    family: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY",
            help="minigpt4, vpgtrans, bliva or visualglm.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The new folder; matboard takes it as a model."
        ),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="The project's own .pth file; of visualglm its folder or Hub id.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="The Vicuna or LLaMA that it was aligned with: folder or Hub id (not visualglm).",
            show_default=False,
        ),
    ] = None,
    eye: Annotated[
        str | None,
        typer.Option(help=f"EVA-CLIP-g: {_PLACE}.", show_default=False),
    ] = None,
    blip2: Annotated[
        str | None,
        typer.Option(
            help=f"Whose Q-Former it uses, and whose eye without --eye: {_PLACE}.",
            show_default=False,
        ),
    ] = None,
    qformer_tokenizer: Annotated[
        str, typer.Option(help="BERT's: folder or Hub id (bliva).")
    ] = "bert-base-uncased",
) -> None:
    """Make a transformers folder of what MiniGPT-4, VPGTrans, BLIVA and VisualGLM-6B publish.

    Only tensors are read, no code of theirs runs; every tensor must be there, under its name and of
    its shape. docs/published_models.md says where the files are.

    Example: [bold]matboard convert vpgtrans vpgtrans/ --checkpoint vl-vicuna.pth --eye
    eva_vit_g.pth --language Vision-CAIR/vicuna-7b[/bold]
    """
    _refuse(family)
    needed = {"--checkpoint": checkpoint}
    if family == "visualglm":
        _refuse_parts({"--language": language, "--eye": eye, "--blip2": blip2})
    else:
        needed["--language"] = language
    for option, value in needed.items():
        if value is None:
            raise ModelError(
                f"{option} is missing: matboard convert {family} --help says what it is."
            )
    require("torch")
    from transformers.utils import logging

    logging.disable_progress_bar()
    if family == "visualglm":
        from matboard.zoo.published.visualglm import convert_visualglm

        say(str(convert_visualglm(str(checkpoint), out, progress=tell)))
        return
    from matboard.zoo.published.convert import Places
    from matboard.zoo.published.convert import convert as make

    places = Places(str(checkpoint), str(language), eye, blip2, qformer_tokenizer)
    say(str(make(family, places, out, progress=tell)))


def _refuse(family: str) -> None:
    """Raise for what needs no conversion, cannot be had, or is unknown."""
    from matboard.zoo.published import PAPER

    if family not in PAPER:
        raise UnknownName("family", family, PAPER)
    if family in ("blip2", "instructblip"):
        raise ModelError(
            f"{PAPER[family].title} needs no conversion: {PAPER[family].how} is a model as it is."
        )


def _refuse_parts(given: Mapping[str, str | None]) -> None:
    """VisualGLM is published whole. Raises ModelError."""
    unused = [option for option, value in given.items() if value is not None]
    if unused:
        raise ModelError(
            f"{' and '.join(unused)} came, but visualglm's --checkpoint holds all of it; leave"
            f" {'it' if len(unused) == 1 else 'them'} out."
        )
