"""What a workflow yields while it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a workflow stands: ``done`` of ``total`` in a named stage, and a short detail."""

    stage: str
    done: int
    total: int
    detail: str = ""
