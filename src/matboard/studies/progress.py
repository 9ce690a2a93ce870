"""What a study yields while it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a study stands: ``done`` of ``total`` in a named stage, and a short detail."""

    stage: str
    done: int
    total: int
    detail: str = ""
