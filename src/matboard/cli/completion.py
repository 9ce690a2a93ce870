"""What a shell completes: names, keys of configurations, run folders, prompts. Nothing here needs
torch, for somebody waits for it at a key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

DEEPEST = 4
"""How far below what is typed folders are looked for: a prompt of a study's lies so deep."""
MOST = 2000
"""Folders that are looked into, the nearest first: somebody waits (guess)."""
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
    near = islice(_below(start), MOST)
    found = (str(folder) for folder in near if (folder / holding).is_file())
    return sorted(folder for folder in found if folder.startswith(incomplete))


def _below(start: Path) -> Iterator[Path]:
    """Folders, level by level; no hidden ones, and none behind a link."""
    level = [start]
    for _ in range(DEEPEST):
        deeper = []
        for folder in level:
            for found in _inside(folder):
                yield found
                deeper.append(found)
        level = deeper


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]
