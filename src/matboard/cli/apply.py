"""``matboard apply``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from matboard.cli import console
from matboard.cli.completion import prompts


def apply(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help=console.PROMPT,
            show_default=False,
            autocompletion=prompts,
        ),
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN", help="Pictures, and folders of pictures.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The folder for the PNG files; the structure of a folder IN is kept.",
            show_default=False,
        ),
    ],
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results that are already there; else they are skipped.",
        ),
    ] = False,
) -> None:
    """Put a prompt on pictures and write PNG files. Files that are no pictures are skipped, counted
    and named.

    Example: [bold]matboard apply runs/tvp/prompt photos/ --out prompted/[/bold]
    """
    from PIL.Image import DecompressionBombWarning
    from rich.progress import track

    from matboard.errors import InputError
    from matboard.prompts.artifact import load_prompt
    from matboard.studies.apply import find_work, prompt_file

    # Such a picture is refused, in a sentence of ours.
    warnings.filterwarnings("ignore", category=DecompressionBombWarning)
    visual_prompt = load_prompt(prompt)
    if "warning" in visual_prompt.config:
        _tell(visual_prompt.config["warning"])
    work = find_work(inputs, out)
    jobs = list(work.targets.items())
    written = 0
    terminal = console.err.is_terminal
    try:
        for file, target in track(
            jobs, "apply", console=console.err, transient=True, disable=not terminal
        ):
            try:
                prompt_file(visual_prompt, file, target, overwrite)
                written += 1
            except InputError as error:
                work.skip(str(error))
    except KeyboardInterrupt:
        console.fail(
            f"Interrupted; {written} of {len(jobs)} pictures are written. The same command goes on"
            " with the rest."
        )
        raise typer.Exit(130) from None
    for reason in work.skipped:
        _tell(f"skipped: {reason}")
    console.out.print(
        _printable(f"{written} written to {out}, {work.count} skipped"),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if not written:
        raise typer.Exit(2)


def _tell(text: str) -> None:
    console.err.print(_printable(text), markup=False, highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    """File names may hold bytes that are no text."""
    return text.encode(errors="backslashreplace").decode()
