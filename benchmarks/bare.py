"""The least that a step of learning must compute, written without matboard's model code: the eye,
the language model's body, its head on the answer's tokens alone, and back to the pixels.

What both sides of a ratio do badly a ratio cannot show. So this shares nothing with what it
measures but the weights, the differentiable image processor and the prompt's token ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.fusion import Placed

ATTENTIONS = ("eager", "sdpa")


class Bare:
    """One batch through a decoder whose visual tokens stand in the prompt.

    Args:
        images: ``batch 3 height width``.
        questions: one wording for all, so that no prompt is padded.
    """

    def __init__(
        self,
        model: HuggingFaceVLM,
        images: Tensor,
        questions: Sequence[str],
        answers: Sequence[str],
    ) -> None:
        assert isinstance(model.fusion, Placed)
        self.model = model
        self.images = images
        self.questions = questions
        self.said = answers
        self.answers = [
            model.template.answer_ids(question, answer, False)
            for question, answer in zip(questions, answers, strict=True)
        ]
        with torch.no_grad():
            encoded = model._encode(images, questions)
            self.prompts = model._prompts(encoded, images, questions).ids
            self.asked = model._inputs(images, questions)
        language = model.fusion.language
        self.body: Any = language.get_decoder()
        self.head: Any = language.get_output_embeddings()

    def loss(self, images: Tensor) -> Tensor:
        """Summed over samples: the mean negative log-likelihood of the answers' tokens."""
        prepared = self.asked | self.model.preprocess(
            images, images.device, next(self.model.fusion.eye.parameters()).dtype
        )
        seen = self.model.fusion.owner.get_image_features(**prepared, return_dict=True)
        longest = max(map(len, self.answers))
        read = [[*row[:-1]] + [0] * (longest - len(row)) for row in self.answers]
        ids = torch.cat([self.prompts, torch.tensor(read, dtype=torch.long)], dim=1)
        visual = ids == self.model.model.config.image_token_id
        embeddings = self.model.model.get_input_embeddings()(ids.masked_fill(visual, 0))
        tokens = seen.pooler_output.to(embeddings)
        embedded = embeddings.masked_scatter(visual[..., None], tokens)
        states = self.body(inputs_embeds=embedded, use_cache=False).last_hidden_state
        logits = self.head(states[:, -longest:].contiguous()).float()
        total = logits.new_zeros(())
        for row, answer in zip(logits, self.answers, strict=True):
            total = total + cross_entropy(row[: len(answer)], torch.tensor(answer))
        return total

    def step(self) -> Tensor:
        """The gradient at the pixels."""
        leaf = self.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(leaf), leaf)
        return gradient


@contextmanager
def attention(model: HuggingFaceVLM, kind: str) -> Iterator[None]:
    """A model that attends in another way for a while."""
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(kind)
    try:
        yield
    finally:
        model.model.set_attn_implementation(before)
