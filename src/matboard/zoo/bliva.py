"""BLIVA, one of the paper's six models.

All six are an EVA-CLIP eye, a Q-Former and a language model; they differ in what stands behind the
Q-Former:

============  ===========================  ==============  ====================================
model         transformers class           language model  where the picture stands
============  ===========================  ==============  ====================================
MiniGPT-4     Blip2ForConditional…         llama           ``###Human: <Img>…</Img> q
                                                           ###Assistant:``
VPGTrans      Blip2ForConditional…         llama           as in MiniGPT-4
BLIP-2        Blip2ForConditional…         t5 (or opt)     first (the processor's default)
VisualGLM     VisualGlmForConditional…,    chatglm_6b,     ``<img>…</img>问：q↵答：``
              in `matboard.zoo.visualglm`  `.chatglm`
InstructBLIP  InstructBlipForConditional…  llama (or t5)   first; the Q-Former reads the
                                                           question too
BLIVA         BlivaForConditional…, here   llama (or t5)   as in InstructBLIP
============  ===========================  ==============  ====================================
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration


@no_type_check  # transformers fills a configuration from whatever its JSON holds
class BlivaConfig(InstructBlipConfig):  # type: ignore[misc]
    """InstructBLIP's configuration under a name of its own."""

    model_type = "bliva"

    @property
    def num_patch_tokens(self) -> int:
        """How many patch tokens follow the query tokens."""
        return int(
            (self.vision_config.image_size // self.vision_config.patch_size) ** 2
        )

    @property
    def num_image_tokens(self) -> int:
        """How many placeholders one picture takes in the text: what the processor calls
        ``num_query_tokens``.
        """
        return int(self.num_query_tokens) + self.num_patch_tokens


class BlivaForConditionalGeneration(InstructBlipForConditionalGeneration):  # type: ignore[misc]
    """BLIVA (arXiv 2308.09936): InstructBLIP whose language model also sees the picture's patches.

    The query tokens are followed by the eye's penultimate-layer patch tokens, class token dropped,
    through one linear map: ``pooler_output`` of ``get_image_features`` is
    ``batch (num_query_tokens + num_patch_tokens) text_dim``.
    """

    config_class = BlivaConfig

    def __init__(self, config: BlivaConfig) -> None:
        super().__init__(config)
        self.vision_project = torch.nn.Linear(
            config.vision_config.hidden_size, config.text_config.hidden_size
        )
        self.post_init()

    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        qformer_input_ids: torch.Tensor,
        qformer_attention_mask: torch.Tensor | None = None,
        interpolate_pos_encoding: bool | None = False,
        **kwargs: Any,
    ) -> Any:
        """InstructBLIP's output, with the projected patches appended to ``pooler_output``."""
        options = {**kwargs, "output_hidden_states": True, "return_dict": True}
        out = super().get_image_features(
            pixel_values,
            qformer_input_ids,
            qformer_attention_mask,
            interpolate_pos_encoding,
            **options,
        )
        patches = self.vision_project(out.vision_outputs.hidden_states[-2][:, 1:])
        out.pooler_output = torch.cat(
            [out.pooler_output, patches.to(out.pooler_output.dtype)], dim=1
        )
        return out
