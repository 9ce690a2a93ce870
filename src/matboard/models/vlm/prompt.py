"""Questions and answers as text and as token ids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.families.family import Family, Picture


@dataclass(frozen=True)
class PromptIds:
    """One prompt as a language model reads it.

    Attributes:
        ids: its tokens.
        types: per-token inputs besides, by the name of the language model's argument.
    """

    ids: tuple[int, ...]
    types: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class PromptTemplate:
    """How one model is asked.

    The prompt is the caller's template, else the chat template (one picture, one text), else the
    family's. Prompt and answer are tokenised apart and joined. The answer is set off by a space,
    unless the prompt ends in white space.

    Args:
        tokenizer: the language model's tokenizer.
        family: the text around pictures.
        token: the image token, as text; empty where a prompt has no place for a picture.
        template: text with ``{question}`` and, if the picture shall not come first, ``{image}``.
        mark: what the official processor replaces by a picture, where that is not the image token.

    Attributes:
        end: the id that ends an answer: the tokenizer's end of sequence, else what closes its texts
            (BERT); None where it has neither.

    Raises:
        ModelError: a template without ``{question}``.
    """

    def __init__(
        self,
        tokenizer: Any,
        family: Family,
        token: str,
        template: str | None = None,
        mark: str | None = None,
    ) -> None:
        if template is not None and "{question}" not in template:
            raise ModelError(
                f"The template {template!r} does not say where the question goes; write"
                " {question} there."
            )
        self.tokenizer = tokenizer
        self.family = family
        self.template = template
        self.token = token
        ends = (tokenizer.eos_token_id, tokenizer.sep_token_id)
        self.end = next((end for end in ends if end is not None), None)
        self.placeholder = family.placeholder.format(token=mark or token)
        self.image = family.image.format(token=mark or token)
        self.text = lru_cache(maxsize=4096)(self._text)
        self.ids = lru_cache(maxsize=4096)(self._ids)
        self.answer_ids = lru_cache(maxsize=4096)(self._answer_ids)

    def instruction(self, question: str) -> str:
        """The prompt without its picture: what an instruction-aware Q-Former reads."""
        return self.text(question).replace(self.placeholder, "")

    def for_processor(self, question: str) -> str:
        """The text that the family's own processor is given. Raises like `text`."""
        own = self.family.official
        if own is not None and self.template is None and self._chat_template is None:
            return self._fill(own, question)
        text = self.text(question)
        if self.family.before_bos:  # the processor places the picture
            return text.removeprefix(self.placeholder)
        return text

    @property
    def _chat_template(self) -> Any:
        return getattr(self.tokenizer, "chat_template", None)

    def _text(self, question: str) -> str:
        """The prompt as text, its picture still one placeholder. Raises ModelError where there is
        more than one place for it.
        """
        if self.template is not None:
            text = self._fill(self.template, question)
        elif self._chat_template:
            text = self._chat(question)
        else:
            text = self._fill(self.family.template, question)
        if self.placeholder not in text and not self.family.before_bos:
            text = self.image + text
        if self.placeholder and text.count(self.placeholder) > 1:
            raise ModelError(
                f"The prompt {text!r} has more than one {self.placeholder!r}; keep it out of the"
                f" question {question!r}."
            )
        return text

    def _fill(self, template: str, question: str) -> str:
        named = {
            "{image}": self.image,
            "{bos}": self.tokenizer.bos_token or "",
            "{eos}": self.tokenizer.eos_token or "",
        }
        for name, text in named.items():
            template = template.replace(name, text)
        return template.replace("{question}", question)

    def _chat(self, question: str) -> str:
        content: Any = [{"type": "image"}, {"type": "text", "text": question}]
        if "image" not in str(
            self._chat_template
        ):  # of a language model that knows no pictures
            content = f"{self.image}\n{question}"
        messages = [{"role": "user", "content": content}]
        options = {"tokenize": False, "add_generation_prompt": True}
        return str(self.tokenizer.apply_chat_template(messages, **options))

    def _ids(self, question: str, picture: Picture) -> PromptIds:
        """The prompt's tokens, the text around the picture being the family's."""
        text = self.text(question)
        visual = self.family.expand(picture, self.token)
        special = self.family.special_tokens and not self.has_bos(text)
        if self.family.apart:
            wordlike = rf"{re.escape(self.placeholder)}(?=[^\s<])"
            text = re.sub(wordlike, f"{self.placeholder} ", text)
        if self.placeholder in text:
            return PromptIds(
                self._tokens(text.replace(self.placeholder, visual), special)
            )
        return PromptIds((*self._tokens(visual, False), *self._tokens(text, special)))

    def has_bos(self, text: str) -> bool:
        """Whether a text begins with the tokenizer's start of text, so that none is to be added."""
        bos = self.tokenizer.bos_token
        return bool(bos) and text.startswith(bos)

    def _tokens(self, text: str, special: bool) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _answer_ids(
        self, question: str, answer: str, terminator: bool
    ) -> tuple[int, ...]:
        if not answer.strip():
            raise ModelError(
                f"An empty answer to {question!r} has no likelihood; give at least one character."
            )
        if self.token and self.token in answer:
            raise ModelError(
                f"The answer {answer!r} holds the image token {self.token!r}; answers are text."
            )
        text = self.text(question)
        spaced = text == text.rstrip()
        gap = " " if spaced else text[len(text.rstrip()) :]
        ids = _continuation(self.tokenizer, gap, answer, spaced)
        if not terminator:
            return ids
        if self.end is None:
            raise ModelError(
                "The tokenizer has no end-of-sequence token, so no terminator can be scored; call"
                " without terminator."
            )
        return (*ids, int(self.end))


def _continuation(
    tokenizer: Any, gap: str, answer: str, spaced: bool
) -> tuple[int, ...]:
    """The answer's tokens as they follow ``gap``, a space that belongs to the answer (spaced) or
    white space that does not.

    Tokenising behind an anchor keeps tokenizers that mark the start of a text (SentencePiece) from
    marking a second space.
    """
    for anchor in ("a", ":"):
        start = anchor if spaced else anchor + gap
        head = tokenizer(start, add_special_tokens=False)["input_ids"]
        ids = tokenizer(anchor + gap + answer, add_special_tokens=False)["input_ids"]
        if ids[: len(head)] == head and len(ids) > len(head):
            return tuple(ids[len(head) :])
    return tuple(
        tokenizer((gap if spaced else "") + answer, add_special_tokens=False)[
            "input_ids"
        ]
    )


def image_token(tokenizer: Any, image_token_id: int | None) -> str:
    """The token that visual tokens replace, as text.

    Raises:
        ModelError: the model names none, or the tokenizer does not have it.
    """
    if image_token_id is None:
        raise ModelError(
            "The model's configuration names no image token (image_token_id), so its pictures have"
            " no place in a prompt."
        )
    token = tokenizer.convert_ids_to_tokens(image_token_id)
    if token is None and len(tokenizer) == image_token_id:
        # older BLIP-2 folders leave adding it to their processor
        tokenizer.add_tokens(["<image>"], special_tokens=True)
        token = tokenizer.convert_ids_to_tokens(image_token_id)
    if token is None:
        raise ModelError(
            f"The tokenizer has {len(tokenizer)} tokens, but the model's image token is"
            f" {image_token_id}; they do not belong together."
        )
    return str(token)


def padded(
    rows: Sequence[Sequence[int]], side: str, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Rows of ids as one tensor and the mask of what is real; padding holds id 0, which the mask
    hides.
    """
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = 1
    return ids.to(device), mask.to(device)
