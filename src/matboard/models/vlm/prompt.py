"""Questions and answers as token ids, the way the model's own processor would write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.families import Family, Picture


class Wording:
    """How one model is asked.

    The prompt is the caller's template, else the tokenizer's chat template (one picture, one text),
    else the family's. Prompt and answer are tokenised apart and joined. The answer is set off by a
    space, unless the prompt ends in white space.

    Args:
        tokenizer: the language model's tokenizer.
        family: the text around pictures.
        image_token_id: the token that visual tokens replace; not needed where a prompt has no place
            for a picture.
        template: text with ``{question}`` and, if the picture shall not come first, ``{image}``.

    Attributes:
        end: the id that ends an answer: the tokenizer's end of sequence, else what closes its texts
            (BERT); None where it has neither.

    Raises:
        ModelError: a template without ``{question}``, or an image token that the tokenizer does not
            have.
    """

    def __init__(
        self,
        tokenizer: Any,
        family: Family,
        image_token_id: int | None,
        template: str | None = None,
    ) -> None:
        if template is not None and "{question}" not in template:
            raise ModelError(
                f"The template {template!r} does not say where the question goes; write"
                " {question} there."
            )
        self.tokenizer, self.family, self.template = tokenizer, family, template
        self.token = _image_token(tokenizer, image_token_id) if family.picture else ""
        self.end = (
            tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        )
        self.placeholder = family.placeholder.format(token=self.token)
        self.prompt = lru_cache(maxsize=4096)(self._prompt)
        self.prompt_ids = lru_cache(maxsize=4096)(self._prompt_ids)
        self.answer_ids = lru_cache(maxsize=4096)(self._answer_ids)

    def _prompt(self, question: str) -> str:
        """The prompt as text, its picture still one placeholder. Raises ModelError where there is
        more than one place for it.
        """
        image = self.family.image.format(token=self.token)
        chat = getattr(self.tokenizer, "chat_template", None) if self.template is None else None
        text = (
            self._chat(chat, question, image)
            if chat
            else self._fill(self.template or self.family.template, question, image)
        )
        if self.placeholder not in text and not self.family.before_bos:
            text = image + text
        if self.placeholder and text.count(self.placeholder) > 1:
            raise ModelError(
                f"The prompt {text!r} has more than one {self.placeholder!r}; keep it out of the"
                f" question {question!r}."
            )
        return text

    def instruction(self, question: str) -> str:
        """The prompt without its picture: what an instruction-aware Q-Former reads."""
        return self.prompt(question).replace(self.placeholder, "")

    def _fill(self, template: str, question: str, image: str) -> str:
        named = {
            "{image}": image,
            "{bos}": self.tokenizer.bos_token or "",
            "{eos}": self.tokenizer.eos_token or "",
        }
        for name, text in named.items():
            template = template.replace(name, text)
        return template.replace("{question}", question)

    def _chat(self, chat: Any, question: str, image: str) -> str:
        content: Any = [{"type": "image"}, {"type": "text", "text": question}]
        if "image" not in str(chat):  # the template of a language model that knows no pictures
            content = f"{image}\n{question}"
        messages = [{"role": "user", "content": content}]
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )

    def _prompt_ids(self, question: str, picture: Picture) -> tuple[int, ...]:
        text, visual = self.prompt(question), self.family.expand(picture, self.token)
        bos = self.tokenizer.bos_token
        special = self.family.special_tokens and not (bos and text.startswith(bos))
        if self.family.apart:
            text = re.sub(rf"{re.escape(self.placeholder)}(?=[^\s<])", f"{self.placeholder} ", text)
        if self.placeholder in text:
            return tuple(
                self.tokenizer(text.replace(self.placeholder, visual), add_special_tokens=special)[
                    "input_ids"
                ]
            )
        before = self.tokenizer(visual, add_special_tokens=False)["input_ids"]
        return (*before, *self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _answer_ids(self, question: str, answer: str, terminator: bool) -> tuple[int, ...]:
        if not answer.strip():
            raise ModelError(
                f"An empty answer to {question!r} has no likelihood; give at least one character."
            )
        if self.token and self.token in answer:
            raise ModelError(
                f"The answer {answer!r} holds the image token {self.token!r}; answers are text."
            )
        prompt = self.prompt(question)
        ids = _continuation(
            self.tokenizer,
            prompt[len(prompt.rstrip()) :] or " ",
            answer,
            spaced=prompt == prompt.rstrip(),
        )
        if not terminator:
            return ids
        if self.end is None:
            raise ModelError(
                "The tokenizer has no end-of-sequence token, so no terminator can be scored; call"
                " without terminator."
            )
        return (*ids, int(self.end))


def _continuation(tokenizer: Any, gap: str, answer: str, spaced: bool) -> tuple[int, ...]:
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
    return tuple(tokenizer((gap if spaced else "") + answer, add_special_tokens=False)["input_ids"])


def _image_token(tokenizer: Any, image_token_id: int | None) -> str:
    if image_token_id is None:
        raise ModelError(
            "The model's configuration names no image token (image_token_id), so its pictures have"
            " no place in a prompt."
        )
    token = tokenizer.convert_ids_to_tokens(image_token_id)
    if (
        token is None and len(tokenizer) == image_token_id
    ):  # older BLIP-2 folders leave adding it to their processor
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
    ids, mask = (
        torch.zeros(len(rows), width, dtype=torch.long),
        torch.zeros(len(rows), width, dtype=torch.long),
    )
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, where], mask[i, where] = torch.tensor(row, dtype=torch.long), 1
    return ids.to(device), mask.to(device)
