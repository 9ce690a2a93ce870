"""One answer, token by token, with its log-probabilities: what a server of a model streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.decode import Prefill


@dataclass(frozen=True)
class Spoken:
    """A token of an answer.

    Attributes:
        id: its number in the vocabulary.
        text: as the tokenizer writes it when it stands alone.
        logprob: its log-probability behind all that came before, in nats.
        likeliest: the tokens that were likeliest in its place, as (text, log-probability).
    """

    id: int
    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...] = ()


class Speaker:
    """An answer of a model about one picture, as it comes into being.

    Args:
        likeliest: how many tokens are told in each place.

    Attributes:
        begun: the tokens of what the answer was made to begin with.
        prompt_tokens: how many tokens there are before the answer, pictures included.
    """

    def __init__(
        self,
        model: HuggingFaceVLM,
        picture: Image,
        question: str,
        *,
        begin: str | None = None,
        likeliest: int = 0,
    ) -> None:
        self._model = model
        self._likeliest = likeliest
        self.begun: list[Spoken] = []
        with torch.no_grad():
            prefill = model.language.prefill(model.read([picture], [question]))
            self.prompt_tokens = int(prefill.mask.sum())
            ids = model.template.answer_ids(question, begin, False) if begin else ()
            for id in ids:
                self.begun.append(self._told(prefill, id))
                prefill = self._after(prefill, id)
        self._prefill = prefill

    def said(self, most: int) -> Iterator[Spoken]:
        """The likeliest tokens, one after the other; the one that ends the answer is the last."""
        prefill = self._prefill
        for left in reversed(range(most)):
            id = int(prefill.logits[0].argmax())
            yield self._told(prefill, id)
            if id in self._model.ends or not left:
                return
            with torch.no_grad():
                prefill = self._after(prefill, id)

    def _after(self, prefill: Prefill, id: int) -> Prefill:
        token = torch.tensor([[id]], device=prefill.logits.device)
        _, read = self._model.language.decode(prefill, token, torch.ones_like(token))
        return read

    def _told(self, prefill: Prefill, id: int) -> Spoken:
        scores: Tensor = prefill.logits[0].float().log_softmax(-1)
        best = scores.topk(min(self._likeliest, len(scores)))
        likeliest = tuple(
            (self._text(other), score)
            for other, score in zip(best.indices.tolist(), best.values.tolist())
        )
        return Spoken(id, self._text(id), float(scores[id]), likeliest)

    def _text(self, id: int) -> str:
        return str(self._model.tokenizer.decode([id]))
