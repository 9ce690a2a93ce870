"""A transformers processor that puts a prompt on every picture before it does its work.

What comes back is a *view* of the processor: an object of a class derived from the processor's own,
with the same ``__dict__``. So it passes every ``isinstance``, has every attribute and method, and a
setting changed on one is changed on the other. Three things differ:

* called, it fetches the pictures as the processor does, prompts them, and calls the processor that
  it is a view of. The whole processor sees prompted pictures, also where it counts image tokens or
  tiles by a picture's size; and none is prompted twice.
* its ``image_processor`` is such a view too, because some pipelines take that and call it alone.
* saved, it saves the processor as it is, and the prompt beside it.

Wrapping only the image processor would not do: the processor around it would go on to read the
sizes of the pictures without the prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matboard.errors import ModelError, PromptError
from matboard.extras import needed
from matboard.prompts.nested import prompted

if TYPE_CHECKING:
    from matboard.prompts.artifact import VisualPrompt

FOLDER = "visual_prompt"
"""Where a saved processor's prompt lies, inside its folder."""

OWN = ("original", "visual_prompt", "switch", "kept")
"""What a view has for itself; all else is the processor's."""


class Switch:
    """Whether a prompt acts; it does unless someone is inside `off`."""

    def __init__(self) -> None:
        self._off = 0

    @property
    def on(self) -> bool:
        """Whether it acts."""
        return not self._off

    @contextmanager
    def off(self) -> Iterator[None]:
        """It does not act inside; may be nested."""
        self._off += 1
        try:
            yield
        finally:
            self._off -= 1


class _View:
    """What every view does its own way."""

    __slots__ = ()
    original: Any
    visual_prompt: VisualPrompt
    switch: Switch
    kept: Any

    def disabled(self) -> Any:
        """A context inside which no picture is prompted; may be nested."""
        return self.switch.off()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._passed(self.original.__call__, args, kwargs)

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any
    ) -> Any:
        """Save the processor as it is, and the prompt in `FOLDER` beside it.

        Raises PromptError where it shall go to the Hub: processor and prompt go there apart.
        """
        if push_to_hub:
            raise PromptError(
                "A processor with a prompt is not pushed to the Hub as one; push the two apart:"
                " processor.original.push_to_hub(…), processor.visual_prompt.push_to_hub(…)."
            )
        saved = self.original.save_pretrained(save_directory, **kwargs)
        self.visual_prompt.save_pretrained(Path(save_directory) / FOLDER)
        return saved

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """A processor of the original's class, without a prompt."""
        kind: Any = cls.__bases__[1]
        return kind.from_pretrained(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__} with {self.visual_prompt!r}"

    def __reduce__(self) -> Any:
        return attached, (self.visual_prompt, self.original)

    def _passed(
        self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A method of the original's, its pictures prompted."""
        if not self.switch.on:
            return method(*args, **kwargs)
        names = list(inspect.signature(method).parameters)
        place = names.index("images") if "images" in names else len(args)
        if place < len(args):
            shown = self._shown(args[place])
            args = (*args[:place], shown, *args[place + 1 :])
        elif kwargs.get("images") is not None:
            kwargs = {**kwargs, "images": self._shown(kwargs["images"])}
        return method(*args, **kwargs)

    def _shown(self, images: Any) -> Any:
        fetch = getattr(self._eye, "fetch_images", None)
        fetched = images if fetch is None or images is None else fetch(images)
        return prompted(self.visual_prompt, fetched)

    @property
    def _eye(self) -> Any:
        """The original's image processor."""
        raise NotImplementedError


class _ImageProcessor(_View):
    """A view of an image processor."""

    __slots__ = ()

    def preprocess(self, *args: Any, **kwargs: Any) -> Any:
        """The original's, of prompted pictures."""
        return self._passed(self.original.preprocess, args, kwargs)

    @property
    def _eye(self) -> Any:
        return self.original


class _Processor(_View):
    """A view of a processor."""

    __slots__ = ()

    @property
    def image_processor(self) -> Any:
        """A view of the original's."""
        if self.kept is None or self.kept.original is not self._eye:
            self.kept = attached(self.visual_prompt, self._eye, self.switch)
        return self.kept

    @image_processor.setter
    def image_processor(self, value: Any) -> None:
        self.original.image_processor = getattr(value, "original", value)

    @property
    def _eye(self) -> Any:
        return self.original.image_processor


def attached(prompt: VisualPrompt, processor: Any, switch: Switch | None = None) -> Any:
    """See `VisualPrompt.attach`."""
    made = type(
        type(processor).__name__,
        (_kind(processor), type(processor)),
        {"__slots__": OWN, "__module__": __name__, "__doc__": processor.__doc__},
    )
    view: Any = object.__new__(made)
    view.__dict__ = processor.__dict__
    view.original = processor
    view.visual_prompt = prompt
    view.switch = switch or Switch()
    view.kept = None
    return view


def _kind(processor: Any) -> type[_View]:
    """What a view of it is. Raises ModelError where there is none."""
    with needed():
        from transformers import ProcessorMixin
        from transformers.image_processing_base import ImageProcessingMixin
    if isinstance(processor, _View):
        raise ModelError(
            "This processor carries a prompt already; a picture would get both. Attach to the"
            " processor that it is a view of, processor.original."
        )
    if isinstance(processor, ImageProcessingMixin):
        return _ImageProcessor
    if not isinstance(processor, ProcessorMixin):
        raise ModelError(
            f"A value of type {type(processor).__name__} came; expected a transformers processor"
            " or image processor, as AutoProcessor.from_pretrained gives."
        )
    if getattr(processor, "image_processor", None) is None:
        raise ModelError(
            f"{type(processor).__name__} has no image processor; a prompt is for pictures."
        )
    return _Processor
