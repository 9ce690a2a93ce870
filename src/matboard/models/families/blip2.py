"""BLIP-2 (arXiv 2301.12597), InstructBLIP (arXiv 2305.06500) and whatever is derived from them: a
Q-Former's tokens stand before the text, BOS included (transformers' Blip2Processor and
InstructBlipProcessor).
"""

from __future__ import annotations

from matboard.models.families.family import Family

BLIP2 = Family(
    models=("Blip2ForConditionalGeneration", "InstructBlipForConditionalGeneration"),
    template="{question}",
    before_bos=True,
)
