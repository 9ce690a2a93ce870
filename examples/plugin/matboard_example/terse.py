"""A model family: BLIP-2 models whose configuration says ``"terse": true`` are asked in one word.

A family that is fused, cut into tiles or processed in a way of its own says so by further fields of
`Family`; see ``matboard/models/families``.
"""

from __future__ import annotations

from typing import Any

from matboard.models.families.family import Family


def _is_terse(model: Any) -> bool:
    return bool(getattr(model.config, "terse", False))


TERSE = Family(
    models=("Blip2ForConditionalGeneration",),
    where=_is_terse,
    template="{question} in one word:",
    before_bos=True,
)
