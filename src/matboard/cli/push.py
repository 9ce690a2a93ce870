"""``matboard push``."""

from __future__ import annotations

from typing import Annotated

import typer

from matboard.cli import completion
from matboard.cli.console import PROMPT, say


def push(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help=PROMPT,
            show_default=False,
            autocompletion=completion.prompts,
        ),
    ],
    repo_id: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID",
            help="Where it goes on the Hugging Face Hub: owner/name.",
            show_default=False,
        ),
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Open to its owner only.")
    ] = False,
) -> None:
    """Share a prompt on the Hugging Face Hub: its pixels, its record, a preview, and a model card
    that tells how models did with it. The repository is made where there is none; in one that is
    there the files are replaced, by a commit.

    Log in first, by [bold]hf auth login[/bold] or HF_TOKEN, with a token that
    may write.

    Example: [bold]matboard push runs/demo/prompt you/border --private[/bold]
    """
    from matboard.prompts.artifact import load_prompt

    # Where nothing is asked for, it is as new repositories of its owner are.
    commit = load_prompt(prompt).push_to_hub(repo_id, private=private or None)
    page = commit.partition("/commit/")[0]
    name = "/".join(page.split("/")[-2:])
    say(f"pushed: {page}\nuse it: matboard apply {name} photos/ --out prompted/")
