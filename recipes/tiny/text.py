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
        self._processor, self._apart = processor, encoder_decoder
        self._known: dict[str, dict[str, list[int]]] = {}

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> dict[str, Tensor]:
        """Padded ``input_ids``, ``attention_mask``, ``labels`` (answers and </s> alone) and what
        the Q-Former reads.
        """
        words, prompts = (
            self._processor.tokenizer,
            [self._prompt(question) for question in questions],
        )
        ends = [
            [*words(" " + answer, add_special_tokens=False).input_ids, words.eos_token_id]
            for answer in answers
        ]
        heads = [prompt["input_ids"] for prompt in prompts]
        if self._apart:
            ids, labels = _padded(heads, words.pad_token_id), _padded(ends, NO_LABEL)
        else:
            ids = _padded(
                [head + end for head, end in zip(heads, ends, strict=True)], words.pad_token_id
            )
            labels = _padded(
                [[NO_LABEL] * len(head) + end for head, end in zip(heads, ends, strict=True)],
                NO_LABEL,
            )
        batch = {
            "input_ids": ids,
            "attention_mask": (ids != words.pad_token_id).long(),
            "labels": labels,
        }
        if "qformer_input_ids" in prompts[0]:
            read = _padded([prompt["qformer_input_ids"] for prompt in prompts], words.pad_token_id)
            batch |= {
                "qformer_input_ids": read,
                "qformer_attention_mask": (read != words.pad_token_id).long(),
            }
        return batch

    def _prompt(self, question: str) -> dict[str, list[int]]:
        if question not in self._known:
            self._known[question] = self._written(question)
        return self._known[question]

    def _written(self, question: str) -> dict[str, list[int]]:
        words = self._processor.tokenizer
        if words.chat_template is None:
            encoded = self._processor(images=Image.new("RGB", (8, 8)), text=question)
            return {
                key: list(encoded[key][0])
                for key in ("input_ids", "qformer_input_ids")
                if key in encoded
            }
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = words.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return {
            "input_ids": list(
                words(
                    text.replace("<image>", "<image>" * self._processor.num_query_tokens)
                ).input_ids
            )
        }


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Int[Tensor, "row token"]:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True, padding_value=fill
    )
