"""Gemma 3 (arXiv 2503.19786); the text is transformers' Gemma3Processor's, the template
google/gemma-3-4b-it's (chat_template.json).
"""

from __future__ import annotations

from matboard.models.families.family import Family

GEMMA3 = Family(
    models=("Gemma3ForConditionalGeneration",),
    template="{bos}<start_of_turn>user\n{image}{question}<end_of_turn>\n<start_of_turn>model\n",
    image="<start_of_image>",
    placeholder="<start_of_image>",
    picture="\n\n<start_of_image>{tokens}<end_of_image>\n\n",
    token_types="picture",
)
