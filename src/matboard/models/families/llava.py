"""LLaVA 1.5 (arXiv 2310.03744); the template is the model card's of llava-hf/llava-1.5-7b-hf."""

from __future__ import annotations

from matboard.models.families.family import Family

LLAVA = Family(
    models=("LlavaForConditionalGeneration",),
    template="USER: {image}\n{question} ASSISTANT:",
)
