"""PaliGemma (arXiv 2407.07726); the text is transformers' PaliGemmaProcessor's."""

from __future__ import annotations

from matboard.models.families.family import Family

PALIGEMMA = Family(
    models=("PaliGemmaForConditionalGeneration",),
    template="{image}{bos}{question}\n",
    official="{image}{question}",
    special_tokens=False,
    token_types="answer",
    first_position=1,
)
