"""Questions and answers about scenes as a tiny model's own processor writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from recipes.tiny.pictures import NO_LABEL


class Encoder:
    """The text half of a model's batches, as its official processor writes it.

    Args:
        processor: of the model; its tokenizer's chat template, where there is one, wraps the
            question.
        encoder_decoder: answers go to the decoder instead of after the question.
    """

    def __init__(self, processor: Any, encoder_decoder: bool) -> None:
        self._processor = processor
        self._apart = encoder_decoder
        self._known: dict[str, dict[str, list[int]]] = {}

    def __call__(
        self, questions: Sequence[str], answers: Sequence[str]
    ) -> dict[str, Tensor]:
        """Padded ``input_ids``, ``attention_mask``, ``labels`` (answers and </s> alone) and what
        the Q-Former reads.
        """
        pad = self._processor.tokenizer.pad_token_id
        prompts = [self._prompt(question) for question in questions]
        asked = [prompt["input_ids"] for prompt in prompts]
        said = [self._answer(answer) for answer in answers]
        labels = said
        if not self._apart:
            labels = [
                [NO_LABEL] * len(ids) + end
                for ids, end in zip(asked, said, strict=True)
            ]
            asked = [ids + end for ids, end in zip(asked, said, strict=True)]
        ids = _padded(asked, pad)
        batch = {
            "input_ids": ids,
            "attention_mask": (ids != pad).long(),
            "labels": _padded(labels, NO_LABEL),
        }
        if "qformer_input_ids" in prompts[0]:
            read = _padded([prompt["qformer_input_ids"] for prompt in prompts], pad)
            batch["qformer_input_ids"] = read
            batch["qformer_attention_mask"] = (read != pad).long()
        return batch

    def _answer(self, answer: str) -> list[int]:
        words = self._processor.tokenizer
        ids = words(" " + answer, add_special_tokens=False).input_ids
        return [*ids, words.eos_token_id]

    def _prompt(self, question: str) -> dict[str, list[int]]:
        if question not in self._known:
            self._known[question] = self._written(question)
        return self._known[question]

    def _written(self, question: str) -> dict[str, list[int]]:
        words = self._processor.tokenizer
        if words.chat_template is None:
            encoded = self._processor(images=Image.new("RGB", (8, 8)), text=question)
            wanted = ("input_ids", "qformer_input_ids")
            return {key: list(encoded[key][0]) for key in wanted if key in encoded}
        content = [{"type": "image"}, {"type": "text", "text": question}]
        chat = [{"role": "user", "content": content}]
        text = words.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=False
        )
        spread = text.replace("<image>", "<image>" * self._processor.num_query_tokens)
        return {"input_ids": list(words(spread).input_ids)}


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Int[Tensor, "row token"]:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True, padding_value=fill
    )
