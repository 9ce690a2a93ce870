"""A model's own processor as the source of its prompts: the tokens that anybody else would run.

A prompt's tokens depend on a picture only by its size, so they are asked for once for each question
and size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from PIL import Image
from torch import Tensor

from matboard.models.vlm.prompt import PromptIds, PromptTemplate

REMEMBERED = 16
"""Sizes of pictures whose prepared blanks are kept (guess: some megabytes)."""

TENSORS = frozenset({"return_tensors", "data_format", "input_data_format", "device"})
"""What an image processor is told about the form of its output, not about the picture."""


QUESTION = "What is this?"
SIZE = (224, 224)
"""Asked about a picture of this size where a prompt is only looked at."""


def mark_of(processor: Any) -> str | None:
    """What a processor replaces by a picture; None where it does not say."""
    for name in ("image_placeholder_token", "image_token"):
        mark = getattr(processor, name, None)
        if mark is not None:
            return str(mark)
    return None


class OfficialPrompts:
    """Prompts as a model's own processor writes them.

    Args:
        processor: transformers' processor, image processor and tokenizer included.
        template: the prompt's text.
        types: names of the inputs that the model takes; its token types are among them.
    """

    def __init__(
        self, processor: Any, template: PromptTemplate, types: Iterable[str]
    ) -> None:
        self.processor = processor
        self.template = template
        self.types = frozenset(
            name for name in types if name.endswith("token_type_ids")
        )
        self.ids = lru_cache(maxsize=4096)(self._ids)

    def image_settings(self) -> dict[str, Any]:
        """What the processor tells its image processor; nothing where it does not work."""
        try:
            self._outputs(QUESTION, SIZE)
        except Exception:  # anybody's code
            return {}
        heard: dict[str, Any] = self.processor.image_processor.settings
        return heard

    def _ids(self, question: str, size: tuple[int, int]) -> PromptIds:
        """The prompt for a picture of a size (width, height). Raises whatever the processor
        raises.
        """
        out = self._outputs(question, size)
        ids = out["input_ids"]
        types = {
            name: tuple(value[0].tolist())
            for name, value in out.items()
            if name in self.types and value.shape == ids.shape
        }
        return PromptIds(tuple(ids[0].tolist()), types)

    @cached_property
    def _nested(self) -> bool:
        """Whether it takes a list of pictures a sample; some take nothing else, some take only a
        picture a sample.
        """
        try:
            self._given(QUESTION, [[Image.new("RGB", SIZE)]])
        except Exception:  # anybody's code
            return False
        return True

    def _outputs(self, question: str, size: tuple[int, int]) -> Mapping[str, Tensor]:
        blank = Image.new("RGB", size)
        return self._given(question, [[blank]] if self._nested else [blank])

    def _given(self, question: str, images: Any) -> Mapping[str, Tensor]:
        text = self.template.for_processor(question)
        options: dict[str, Any] = {"return_tensors": "pt"}
        if self.template.has_bos(text):
            options["add_special_tokens"] = False  # as apply_chat_template does
        out: Mapping[str, Tensor] = self.processor(
            images=images, text=[text], **options
        )
        return out


class ListeningImageProcessor:
    """An image processor that hears what it is told, and prepares a picture of one size only once:
    it is shown blanks.

    Args:
        inner: the image processor.

    Attributes:
        settings: what it was told when it was last called.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.settings: dict[str, Any] = {}
        self._prepared: dict[tuple[tuple[int, int], ...], Any] = {}

    def __call__(self, images: Any, *args: Any, **settings: Any) -> Any:
        self.settings = {
            k: v for k, v in settings.items() if k not in TENSORS and v is not None
        }
        sizes = tuple(picture.size for picture in _flat(images))
        if sizes not in self._prepared:
            while len(self._prepared) >= REMEMBERED:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[sizes] = self.inner(images, *args, **settings)
        kept = self._prepared[sizes]
        return type(kept)(dict(kept))  # a processor may take from what it is given

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


def _flat(images: Any) -> list[Image.Image]:
    if isinstance(images, Image.Image):
        return [images]
    return [picture for part in images for picture in _flat(part)]
