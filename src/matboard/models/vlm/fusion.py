"""How a model's eye and its language model are fused.

Most families have a ``get_image_features`` and a place in the prompt for what it yields: `Placed`.
The others say neither where their eye is nor how to use what it saw; their fusion is written in the
family's file. Either way a picture is encoded once.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from matboard.errors import ModelError


@dataclass(frozen=True)
class Prompts:
    """A batch of prompts with their pictures.

    Attributes:
        ids, mask: ``batch token``; the padding's side is the language model's.
        visual: what the eye's output became, as `Fusion.encode` gave it.
        features: the visual tokens in reading order, ``token dim``.
        inputs: the pictures as they were prepared, for positions that depend on them.
        types: per-token inputs of the language model besides the ids, ``batch token``.
    """

    ids: Tensor
    mask: Tensor
    visual: Any
    features: Tensor
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    types: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class VisionOutput:
    """What an eye made of pictures, for models that bring no output object for it.

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


class Fusion(ABC):
    """An eye, a language model, and how the one tells the other what it saw.

    Args:
        model: the whole model.
        eye: its vision encoder.
        language: what reads text, head included.
        readers: the functions that `encode` hands pictures to.

    Attributes:
        inputs: the names of the prepared picture inputs that `encode` takes.
    """

    def __init__(
        self, model: Any, eye: Any, language: Any, readers: Sequence[Callable[..., Any]]
    ) -> None:
        self.model = model
        self.eye = eye
        self.language = language
        names = [
            name for reader in readers for name in inspect.signature(reader).parameters
        ]
        self.inputs = frozenset(names)

    @abstractmethod
    def encode(self, inputs: Mapping[str, Tensor]) -> Any:
        """Encode pictures: an object with ``last_hidden_state`` and ``pooler_output``."""

    @abstractmethod
    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        """The language model's arguments for the prompts and their pictures."""

    def opened(self, prompts: Prompts) -> Prompts:
        """The prompts as the decoder reads them."""
        return prompts

    def memory(self, prompts: Prompts) -> dict[str, Tensor]:
        """What the language model is given again with every later token, ``batch …``."""
        return {}

    def recall(self, memory: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Its arguments for ``count`` later tokens."""
        return dict(memory)


class Placed(Fusion):
    """The visual tokens stand in the prompt, in place of its image tokens."""

    def __init__(self, model: Any) -> None:
        inner = getattr(model, "model", None)
        owners = [
            part for part in (model, inner) if hasattr(part, "get_image_features")
        ]
        if not owners:
            raise ModelError(
                f"{type(model).__name__} cannot encode pictures apart from text (no"
                " get_image_features): it is not supported."
            )
        self.owner: Any = owners[0]
        language = model if hasattr(model, "lm_head") else model.language_model
        # what it overrides or hands on to included
        kinds = (*type(model).__mro__, *type(inner).__mro__)
        readers = [
            vars(kind)["get_image_features"]
            for kind in kinds
            if "get_image_features" in vars(kind)
        ]
        super().__init__(model, model.get_encoder(modality="image"), language, readers)
        self.takes_outputs = (
            "mm_encoder_outputs" in inspect.signature(language.forward).parameters
        )

    def encode(self, inputs: Mapping[str, Tensor]) -> Any:
        return self.owner.get_image_features(**inputs, return_dict=True)

    def arguments(self, prompts: Prompts) -> dict[str, Any]:
        if self.takes_outputs:
            return {
                "input_ids": prompts.ids,
                "mm_encoder_outputs": {"image": prompts.visual},
            }
        # Padding holds id 0, which may be the image token's.
        where = (prompts.ids == self.model.config.image_token_id) & (prompts.mask > 0)
        embeddings = self.model.get_input_embeddings()(
            prompts.ids.masked_fill(where, 0)
        )
        features = prompts.features.to(embeddings)
        return {
            "inputs_embeds": embeddings.masked_scatter(where.unsqueeze(-1), features)
        }


def without_end(prompts: Prompts) -> Prompts:
    """Prompts without their last token, with which BERT's tokenizer closes a text; they are padded
    on the left.
    """
    types = {name: value[:, :-1] for name, value in prompts.types.items()}
    return replace(
        prompts, ids=prompts.ids[:, :-1], mask=prompts.mask[:, :-1], types=types
    )
