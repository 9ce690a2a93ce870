"""Which tasks are corrupted versions of others, by the name they are asked for."""

from __future__ import annotations

from matboard.results.transfer import Corruption
from matboard.tasks.corruptions import KINDS, SEVERITIES, split_name


def corruption_of(name: str) -> Corruption | None:
    """What a task of that name (``cifar10/fog-3``) is spoilt by; None where it is as its data set
    has it.
    """
    found = split_name(name)
    if found is None:
        return None
    clean, kind, severity = found
    if kind not in KINDS or severity not in SEVERITIES:
        return None
    return Corruption(kind=kind, severity=severity, clean=clean)
