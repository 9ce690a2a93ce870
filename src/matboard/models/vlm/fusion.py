"""How a model's eye and its language model are joined.

Most families have a ``get_image_features`` and a place in the prompt for what it yields. The others
say neither where their eye is nor how to use what it saw, so it is written down here, once a
family. Either way a picture is encoded once.

============  ===============================================================================  =======================
joint         the visual tokens                                                                whose
============  ===============================================================================  =======================
`Placed`      stand in the prompt, in place of its image tokens                                all with get_image_features
`Tiled`       are read beside the prompt by cross-attention, which skips the tiles of padding  Mllama
`Captioned`   are read beside the prompt by cross-attention                                    BLIP
`Prefixed`    stand in front of the prompt, inside the model                                   GIT
============  ===============================================================================  =======================
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from matboard.errors import ModelError


@dataclass(frozen=True)
class Asked:
    """A batch of prompts with their pictures.

    Attributes:
        ids, mask: ``batch token``; the padding's side is the speaker's.
        visual: what the eye's output became, as `Joint.look` gave it.
        features: the visual tokens in reading order, ``token dim``.
        grid: patches per frame, row and column of each picture, where positions depend on them.
    """

    ids: Tensor
    mask: Tensor
    visual: Any
    features: Tensor
    grid: Tensor | None = None


@dataclass(frozen=True)
class Sight:
    """What an eye saw, for models that bring no output object for it.

    Attributes:
        last_hidden_state: the eye's tokens, ``picture token dim``, one row a tile where there are
            tiles.
        pooler_output: what enters the language model of them, ``picture token dim``.
        states: the same a sample, ``batch token dim``; tiles of padding are still among them.
        tiles: which tiles are no padding, ``batch tile``; None where there are no tiles.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    states: Tensor
    tiles: Tensor | None = None


class Joint(ABC):
    """An eye, a language model, and how the one tells the other what it saw.

    Args:
        model: the whole model.
        eye: its vision encoder.
        language: what reads text, head included.
        readers: the functions that `look` hands pictures to.

    Attributes:
        inputs: the names of the prepared picture inputs that `look` takes.
    """

    def __init__(
        self, model: Any, eye: Any, language: Any, readers: Sequence[Callable[..., Any]]
    ) -> None:
        self.model, self.eye, self.language = model, eye, language
        self.inputs = frozenset(
            name for reader in readers for name in inspect.signature(reader).parameters
        )

    @abstractmethod
    def look(self, inputs: Mapping[str, Tensor]) -> Any:
        """Encode pictures: an object with ``last_hidden_state`` and ``pooler_output``."""

    @abstractmethod
    def tell(self, asked: Asked) -> dict[str, Any]:
        """The language model's arguments for the prompts and their pictures."""

    def begin(self, asked: Asked) -> Asked:
        """The prompt as the decoder reads it."""
        return asked

    def keep(self, asked: Asked) -> dict[str, Tensor]:
        """What the language model is given again with every later token, ``batch …``."""
        return {}

    def remind(self, kept: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Its arguments for ``count`` later tokens."""
        return dict(kept)


class Placed(Joint):
    """The visual tokens stand in the prompt, in place of its image tokens."""

    def __init__(self, model: Any) -> None:
        language = model if hasattr(model, "lm_head") else model.language_model
        kinds = (
            *type(model).__mro__,
            *type(getattr(model, "model", None)).__mro__,
        )  # what it overrides or hands on to included
        readers = [
            vars(kind)["get_image_features"] for kind in kinds if "get_image_features" in vars(kind)
        ]
        super().__init__(model, model.get_encoder(modality="image"), language, readers)
        self.takes_outputs = "mm_encoder_outputs" in inspect.signature(language.forward).parameters

    def look(self, inputs: Mapping[str, Tensor]) -> Any:
        return self.model.get_image_features(**inputs, return_dict=True)

    def tell(self, asked: Asked) -> dict[str, Any]:
        if self.takes_outputs:
            return {"input_ids": asked.ids, "mm_encoder_outputs": {"image": asked.visual}}
        where = asked.ids == self.model.config.image_token_id
        embeddings = self.model.get_input_embeddings()(asked.ids.masked_fill(where, 0))
        return {
            "inputs_embeds": embeddings.masked_scatter(
                where.unsqueeze(-1), asked.features.to(embeddings)
            )
        }


class Tiled(Joint):
    """Mllama (Llama 3.2 Vision): text from the image token on attends to the tiles of its picture."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, model.model.vision_model, model, [model.model.vision_model.forward])

    def look(self, inputs: Mapping[str, Tensor]) -> Sight:
        seen = self.eye(**inputs).last_hidden_state.squeeze(1)
        told, real = (
            self.model.model.multi_modal_projector(seen),
            inputs["aspect_ratio_mask"].squeeze(1).bool(),
        )
        return Sight(seen[real], told[real], told.flatten(1, 2), real)

    def tell(self, asked: Asked) -> dict[str, Any]:
        after = (asked.ids == self.model.config.image_token_id).cumsum(1)
        mask = after[:, :, None, None] * self.keep(asked)["cross_attention_mask"]
        return {
            "input_ids": asked.ids,
            "cross_attention_states": asked.visual.states,
            "cross_attention_mask": mask,
        }

    def keep(self, asked: Asked) -> dict[str, Tensor]:
        return {"cross_attention_mask": asked.visual.tiles[:, None, None].long()}

    def remind(self, kept: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        return {name: mask.expand(-1, count, -1, -1) for name, mask in kept.items()}


class Captioned(Joint):
    """BLIP: a decoder that attends to the picture goes on from the prompt
    (BlipForConditionalGeneration.generate).
    """

    def __init__(self, model: Any) -> None:
        if "BlipForQuestionAnswering" in (model.config.architectures or ()):
            raise ModelError(
                "These are the weights of a BlipForQuestionAnswering, which"
                " AutoModelForImageTextToText takes for a captioner; expected those of a"
                " BlipForConditionalGeneration. In transformers 5.23 the former's decoder attends"
                " to padding, so a batch would not answer as its samples do: it is not supported."
            )
        super().__init__(
            model, model.vision_model, model.text_decoder, [model.vision_model.forward]
        )

    def look(self, inputs: Mapping[str, Tensor]) -> Sight:
        seen = self.eye(**inputs).last_hidden_state
        return Sight(seen, seen, seen)  # no projector

    def begin(self, asked: Asked) -> Asked:
        """The start token stands in place of the tokenizer's."""
        opened = _unclosed(asked)
        first = opened.mask.argmax(1, keepdim=True)
        return replace(
            opened, ids=opened.ids.scatter(1, first, self.model.config.text_config.bos_token_id)
        )

    def tell(self, asked: Asked) -> dict[str, Any]:
        return {"input_ids": asked.ids, **self.keep(asked)}

    def keep(self, asked: Asked) -> dict[str, Tensor]:
        return {"encoder_hidden_states": asked.visual.states}


class Prefixed(Joint):
    """GIT: the model itself puts the visual tokens in front of the text, and lets them see one
    another.

    Its forward takes pixels only. A copy of the model that shares every weight, its eye and
    projector taken out, takes visual tokens for pixels.
    """

    def __init__(self, model: Any) -> None:
        frames = model.config.num_image_with_embedding
        if frames is not None:
            raise ModelError(
                f"This GitForCausalLM reads videos of {frames} frames; expected one that reads a"
                " picture: it is not supported."
            )
        language, inner = copy.copy(model), copy.copy(model.git)
        language._modules, inner._modules = dict(model._modules), dict(model.git._modules)
        inner.image_encoder, inner.visual_projection, language.git = (
            _Given(),
            torch.nn.Identity(),
            inner,
        )
        super().__init__(
            model, model.git.image_encoder, language, [model.git.image_encoder.forward]
        )

    def look(self, inputs: Mapping[str, Tensor]) -> Sight:
        seen = self.eye(**inputs).last_hidden_state
        told = self.model.git.visual_projection(seen)
        return Sight(seen, told, told)

    def begin(self, asked: Asked) -> Asked:
        return _unclosed(asked)

    def tell(self, asked: Asked) -> dict[str, Any]:
        return {
            "input_ids": asked.ids,
            "pixel_values": asked.visual.states.unsqueeze(1),
        }  # four dimensions, as pixels have


class _Given(torch.nn.Module):
    """Stands where an eye stood and hands on what it is given."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=pixel_values.squeeze(1))


_JOINTS: Mapping[str, Callable[[Any], Joint]] = {
    "MllamaForConditionalGeneration": Tiled,
    "BlipForConditionalGeneration": Captioned,
    "GitForCausalLM": Prefixed,
}


def joint_of(model: Any) -> Joint:
    """How this model is joined. Raises ModelError where nobody knows."""
    known = next(
        (_JOINTS[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in _JOINTS), None
    )
    if known is None and not hasattr(model, "get_image_features"):
        raise ModelError(
            f"{type(model).__name__} cannot encode pictures apart from text (no"
            " get_image_features): it is not supported."
        )
    return (known or Placed)(model)


def _unclosed(asked: Asked) -> Asked:
    """Prompts without their last token, with which BERT's tokenizer closes a text; they are padded
    on the left.
    """
    return replace(asked, ids=asked.ids[:, :-1], mask=asked.mask[:, :-1])
