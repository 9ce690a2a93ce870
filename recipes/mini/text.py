"""Questions and answers of the mini zoo as token batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

NO_LABEL = -100


class Encoder:
    """Questions and answers to token batches.

    Args:
        tokenizer: the model's; its chat template starts with ``bos`` where the model wants one.
        image_tokens: placeholders a picture takes.
        asks_qformer: also give the prompt, without its picture, to the Q-Former.
    """

    def __init__(
        self, tokenizer: Any, image_tokens: int, *, asks_qformer: bool
    ) -> None:
        self.tokenizer = tokenizer
        self.asks_qformer = asks_qformer
        content = [{"type": "image"}, {"type": "text", "text": "{}"}]
        chat = [{"role": "user", "content": content}]
        template = tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True
        )
        self.template = template.replace("<image>", "<image>" * image_tokens)

    def __call__(
        self, questions: Sequence[str], answers: Sequence[str], *, end: bool
    ) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask``, ``labels`` (−100 but on the answer), and the
        Q-Former's tokens.
        """
        pad = self.tokenizer.pad_token_id
        last = [self.tokenizer.eos_token_id] if end else []
        asked = self._ids([self.template.format(question) for question in questions])
        said = [ids + last for ids in self._ids([f" {answer}" for answer in answers])]
        pairs = list(zip(asked, said, strict=True))
        ids = [torch.tensor(ask + say) for ask, say in pairs]
        labels = [torch.tensor([NO_LABEL] * len(ask) + say) for ask, say in pairs]
        batch = {
            "input_ids": _pad(ids, pad),
            "labels": _pad(labels, NO_LABEL),
            "attention_mask": _mask(ids),
        }
        if self.asks_qformer:
            text = self.template.replace("<image>", "")
            read = self._ids([text.format(question) for question in questions])
            tensors = [torch.tensor(row) for row in read]
            batch["qformer_input_ids"] = _pad(tensors, pad)
            batch["qformer_attention_mask"] = _mask(tensors)
        return batch

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)[
            "input_ids"
        ]
        return ids


def _pad(rows: list[Tensor], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _mask(rows: list[Tensor]) -> Tensor:
    return _pad([torch.ones_like(row) for row in rows], 0)
