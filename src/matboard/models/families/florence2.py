"""Florence-2 (arXiv 2311.06242); the text is transformers' Florence2Processor's."""

from __future__ import annotations

from matboard.models.families.family import Family

FLORENCE2 = Family(
    models=("Florence2ForConditionalGeneration",),
    template="{image}{bos}{question}{eos}",
    official="{question}",
    special_tokens=False,
)
