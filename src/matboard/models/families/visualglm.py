"""VisualGLM (`matboard.zoo.visualglm`). The text is that of ``chat`` in THUDM/visualglm-6b's
``modeling_chatglm.py``; its tokenizer closes it with ``[gMASK]<sop>``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from matboard.models.families.family import Family
from matboard.models.vlm.fusion import Placed, Prompts


class ReadBothWays(Placed):
    """The language model reads what stands before ``<sop>`` in both directions; it is told how much
    that is.
    """

    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        return {**super().arguments(prompts), **self.memory(prompts)}

    def memory(self, prompts: Prompts) -> dict[str, Tensor]:
        begins = prompts.ids == self.model.config.text_config.bos_token_id
        before = (begins.cumsum(1) == 0) & (prompts.mask > 0)
        return {"context_lengths": before.sum(1)}


VISUALGLM = Family(
    models=("Blip2ForConditionalGeneration",),
    where=lambda model: model.config.model_type == "visualglm",
    template="<img>{image}</img>问：{question}\n答：",
    fusion=ReadBothWays,
)
