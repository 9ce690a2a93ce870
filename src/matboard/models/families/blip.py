"""BLIP (arXiv 2201.12086): a decoder that reads the picture beside the prompt, by attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from matboard.errors import ModelError
from matboard.models.families.family import Family
from matboard.models.vlm.fusion import Fusion, Prompts, VisionOutput, without_end


class Captioning(Fusion):
    """The decoder goes on from the prompt, as in BlipForConditionalGeneration.generate."""

    def __init__(self, model: Any) -> None:
        if "BlipForQuestionAnswering" in (model.config.architectures or ()):
            raise ModelError(
                "These are the weights of a BlipForQuestionAnswering, which"
                " AutoModelForImageTextToText takes for a captioner; expected those of a"
                " BlipForConditionalGeneration. In transformers 5.23 the former's decoder attends"
                " to padding, so a batch would not answer as its samples do: it is not supported."
            )
        eye = model.vision_model
        super().__init__(model, eye, model.text_decoder, [eye.forward])

    def encode(self, inputs: Mapping[str, Tensor]) -> VisionOutput:
        states = self.eye(**inputs).last_hidden_state
        return VisionOutput(states, states, states)  # no projector

    def opened(self, prompts: Prompts) -> Prompts:
        """The start token stands in place of the tokenizer's."""
        shorter = without_end(prompts)
        first = shorter.mask.argmax(1, keepdim=True)
        start = self.model.config.text_config.bos_token_id
        return replace(shorter, ids=shorter.ids.scatter(1, first, start))

    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        return {"input_ids": prompts.ids, **self.memory(prompts)}

    def memory(self, prompts: Prompts) -> dict[str, Tensor]:
        return {"encoder_hidden_states": prompts.visual.states}


BLIP = Family(
    models=("BlipForConditionalGeneration",),
    template="{question}",
    picture="",
    fusion=Captioning,
)
