"""A model behind a prompt: every picture that passes through it is prompted.

Of a frozen model of matboard's, `PromptedModel` is a frozen model with the same abilities, and goes
wherever that goes. Of a transformers model it is that model's methods and, as ``.processor``, its
processor with the prompt attached: a transformers model takes no pictures, only what its processor
makes of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from matboard.errors import ImageError, ModelError, PromptError
from matboard.models.capabilities import (
    Answers,
    FrozenModel,
    Generates,
    HasFeatures,
    HasLikelihoods,
    Learnable,
    Pictures,
    Ranks,
)
from matboard.prompts.artifact import VisualPrompt, as_picture
from matboard.prompts.attached import Switch
from matboard.prompts.pixel import PixelPrompt, clamp_straight_through


class PromptedModel:
    """A model and the prompt that its pictures get; neither is changed.

    Pictures are PIL pictures, files or arrays in a list, which get the prompt as
    `VisualPrompt.apply` puts it; or a tensor ``batch 3 height width`` in [0, 1], through which
    gradients pass. Every method that takes ``images`` first takes them so; all other attributes are
    the model's own.

    Args:
        model: a frozen model, as `matboard.load_model` gives it, or a transformers model.
        prompt: what its pictures get.
        processor: of a transformers model, and only of one.

    Attributes:
        original: the model as it was given.
        prompt: as it was given.
        processor: of a transformers model: its processor with the prompt attached, see
            `VisualPrompt.attach`. What it has not prepared, is not prompted.

    Raises:
        ModelError: a transformers model without a processor, or a frozen one with it.
        PromptError: the prompt is none.
    """

    original: Any
    prompt: VisualPrompt
    processor: Any

    def __new__(cls, model: Any, prompt: Any, processor: Any = None) -> PromptedModel:
        _check(model, prompt, processor)
        kinds: list[type] = [
            own for able, own in _FROZEN.items() if isinstance(model, able)
        ]
        body = {"__module__": cls.__module__, "__doc__": cls.__doc__}
        made: Any = type(cls.__name__, (cls, *(kinds or [_Transformers])), body)
        return object.__new__(made)  # type: ignore[no-any-return]

    def __init__(self, model: Any, prompt: VisualPrompt, processor: Any = None) -> None:
        self.original = model
        self.prompt = prompt
        self.processor = None if processor is None else prompt.attach(processor)
        self._switch = Switch() if processor is None else self.processor.switch
        if isinstance(self, FrozenModel):
            self.name = f"{model.name} + prompt"

    def disabled(self) -> AbstractContextManager[None]:
        """A context inside which pictures pass without the prompt, for everyone who holds this
        object; may be nested.
        """
        return self._switch.off()

    def __getattr__(self, name: str) -> Any:
        if name in ("original", "prompt", "_switch"):  # not yet there
            raise AttributeError(name)
        value = getattr(self.original, name)
        return self._passing(value) if inspect.ismethod(value) else value

    def _passing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of the model's, which prompts its pictures and does not give the model away."""
        first = next(iter(inspect.signature(method).parameters), None)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if first == "images" and args:
                args = (self._shown(args[0]), *args[1:])
            elif first == "images" and "images" in kwargs:
                kwargs = {**kwargs, "images": self._shown(kwargs["images"])}
            out = method(*args, **kwargs)
            if out is self.original:
                return self
            return self._of(out) if isinstance(out, FrozenModel) else out

        return call

    def _of(self, model: FrozenModel) -> PromptedModel:
        """Another model behind the same prompt, on or off with this one."""
        other = PromptedModel(model, self.prompt)
        other._switch = self._switch
        return other

    def _shown(self, images: Any) -> Pictures:
        """Pictures as the model gets to see them. Raises ImageError."""
        if isinstance(images, Tensor):
            return self._composed(images) if self._switch.on else images
        if not isinstance(images, list | tuple) and not _is_batch(images):
            raise ImageError(
                f"A value of type {type(images).__name__} came; expected a list of pictures, or a"
                " batch of them as an array or a tensor of four dimensions."
            )
        show = self.prompt.apply if self._switch.on else as_picture
        return [show(picture) for picture in images]

    def _composed(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ImageError(
                f"A tensor of {images.dtype} and shape {tuple(images.shape)} came; expected floats"
                " in [0, 1] as (batch, 3, height, width)."
            )
        prompt = self.prompt
        canvas = PixelPrompt(prompt.canvas, prompt.layout, patch=prompt.patch)
        perturbation = torch.tensor(prompt.perturbation).to(images)
        return clamp_straight_through(canvas.place(images) + perturbation)

    def __repr__(self) -> str:
        named = getattr(self.original, "name", None) or type(self.original).__name__
        return f"PromptedModel({named}, {self.prompt!r})"

    def __reduce__(self) -> Any:
        processor = None if self.processor is None else self.processor.original
        return PromptedModel, (self.original, self.prompt, processor)


class _Transformers:
    """What a transformers model has that ``__getattr__`` does not reach."""

    original: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.original(*args, **kwargs)


class _Frozen(FrozenModel):
    """What a frozen model says of itself."""

    original: Any
    prompt: VisualPrompt

    @property
    def encoder(self) -> str:  # type: ignore[override]
        """The model's."""
        return str(self.original.encoder)

    @property
    def weights(self) -> str:  # type: ignore[override]
        """The model's."""
        return str(self.original.weights)

    @property
    def model(self) -> Any:
        """The torch module that holds the model's weights."""
        return self.original.model

    @property
    def settings(self) -> str:  # type: ignore[override]
        """The model's, and which prompt there is."""
        own = f"pictures with {self.prompt!r} {self.prompt.fingerprint[:12]}"
        return ", ".join(part for part in (self.original.settings, own) if part)

    def _do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self.original, method)
        return self._passing(found)(*args, **kwargs)  # type: ignore[attr-defined]


class _Learnable(_Frozen, Learnable):
    @property
    def refusal(self) -> str | None:
        refusal: str | None = self.original.refusal
        return refusal


class _HasLikelihoods(_Frozen, HasLikelihoods):
    def answer(self, images: Any, *args: Any, **options: Any) -> Answers:
        out: Answers = self._do("answer", images, *args, **options)
        return out

    def answer_loss(self, images: Any, *args: Any, **options: Any) -> Tensor:
        out: Tensor = self._do("answer_loss", images, *args, **options)
        return out


class _Ranks(_Frozen, Ranks):
    def candidate_log_likelihoods(
        self, images: Any, *args: Any, **options: Any
    ) -> Tensor:
        out: Tensor = self._do("candidate_log_likelihoods", images, *args, **options)
        return out


class _Generates(_Frozen, Generates):
    def generate(self, images: Any, *args: Any, **options: Any) -> list[str]:
        out: list[str] = self._do("generate", images, *args, **options)
        return out


class _HasFeatures(_Frozen, HasFeatures):
    @property
    def taps(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.original.taps)

    def visual_features(self, images: Any, *args: Any, **options: Any) -> Tensor:
        out: Tensor = self._do("visual_features", images, *args, **options)
        return out


_FROZEN: dict[type[FrozenModel], type[_Frozen]] = {
    Learnable: _Learnable,
    HasLikelihoods: _HasLikelihoods,
    Ranks: _Ranks,
    Generates: _Generates,
    HasFeatures: _HasFeatures,
}
"""Ability → how a prompted model has it."""


def _check(model: Any, prompt: Any, processor: Any) -> None:
    if not isinstance(prompt, VisualPrompt):
        raise PromptError(
            f"A value of type {type(prompt).__name__} came as the prompt; expected a VisualPrompt,"
            " as load_prompt(folder) and PixelPrompt.to_artifact() give."
        )
    frozen = isinstance(model, FrozenModel)
    if frozen and processor is not None:
        raise ModelError(
            f"{model.name} prepares its pictures itself; give PromptedModel no processor with it."
        )
    if not frozen and processor is None:
        raise ModelError(
            f"{type(model).__name__} takes no pictures, its processor does: give"
            " PromptedModel(model, prompt, processor)."
        )


def _is_batch(images: Any) -> bool:
    return isinstance(images, np.ndarray) and images.ndim == 4
