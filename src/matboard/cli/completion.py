"""What a shell completes: names, keys of configurations, run folders, prompts. Nothing here needs
torch, for somebody waits for it at a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

DEPTHS = ("*", "*/*", "*/*/*", "*/*/*/*")
"""How far below what is typed folders are looked for; a prompt of a study's lies four deep."""
Completion = tuple[str, str]
"""A word, and what a shell that can says beside it."""


def models(incomplete: str) -> list[Completion]:
    """Names of the zoo, behind a comma too."""
    from matboard.zoo.names import CLASSIFIERS, GUIDES, MINI, TINY

    return _listed({**TINY, **MINI, **GUIDES, **CLASSIFIERS}.items(), incomplete)


def tasks(incomplete: str) -> list[Completion]:
    """Names of tasks, behind a comma too."""
    from matboard.tasks import TASKS

    return _listed(((name, "") for name in TASKS), incomplete)


def words(ctx: Any, incomplete: str) -> list[Completion]:
    """Keys of the command's configuration with their defaults, ``prompt.width=30``."""
    from matboard.studies.reference import KINDS, keys

    command = f"matboard {ctx.info_name}"
    kinds = [KINDS.get(command, KINDS["matboard fit"])]
    if command == "matboard validate":
        kinds = list(KINDS.values())
    found = {}
    for key in (key for kind in kinds for key in keys(kind)):
        nothing = key.default in ("null", "{}", "[]")
        default = "" if nothing else key.default.strip('"')
        found[f"{key.name}={default}"] = key.meaning
    return _begun(found.items(), incomplete)


def keys_alone(incomplete: str) -> list[Completion]:
    """Keys of any configuration."""
    from matboard.studies.reference import KINDS, keys

    found = {key.name: key.meaning for kind in KINDS.values() for key in keys(kind)}
    return _begun(found.items(), incomplete)


def runs(incomplete: str) -> list[str]:
    """Run folders. A fit's own is none: it lies in a study's."""
    return [run for run in _folders("config.yaml", incomplete) if "/fits/" not in run]


def prompts(incomplete: str) -> list[str]:
    """Folders that hold a prompt."""
    return _folders("prompt_config.json", incomplete)


def prompts_and_runs(incomplete: str) -> list[str]:
    """What stands for prompts."""
    return sorted([*prompts(incomplete), *runs(incomplete)])


def _begun(named: Iterable[Completion], incomplete: str) -> list[Completion]:
    return [(name, said) for name, said in named if name.startswith(incomplete)]


def _listed(named: Iterable[Completion], incomplete: str) -> list[Completion]:
    """The last of several names with commas between them; the others stay as they are, and are not
    offered again.
    """
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    fresh = [(name, said) for name, said in named if name not in given]
    return [(f"{before}{comma}{name}", said) for name, said in _begun(fresh, last)]


def _folders(holding: str, incomplete: str) -> list[str]:
    """Folders below what is typed that hold a file of that name."""
    above, slash, _ = incomplete.rpartition("/")
    start = Path(f"{above}{slash}")
    found = {str(file.parent) for d in DEPTHS for file in start.glob(f"{d}/{holding}")}
    return sorted(folder for folder in found if folder.startswith(incomplete))
