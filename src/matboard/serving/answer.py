"""What the server replies: an answer whole or as a stream, in the shapes of OpenAI's API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.speaking import Speaker, Spoken
from matboard.serving.asked import Question
from matboard.serving.wire import Refused

UNLIKELIEST = -9999.0
"""What stands for a probability of nothing, which JSON has no word for; vLLM's too."""
PARTIAL = "�"
"""How a tokenizer writes a character that has only begun."""


@dataclass(frozen=True)
class Piece:
    """A token of an answer, and what it adds to the text; ``finish`` says why it is the last."""

    text: str
    spoken: Spoken
    finish: str | None = None


@dataclass
class Answerer:
    """One model, which answers one client's token at a time.

    Attributes:
        name: as clients call the model.
    """

    model: HuggingFaceVLM
    name: str
    _lock: Lock = field(default_factory=Lock)

    def reply(self, question: Question) -> dict[str, Any]:
        """A whole chat completion. Raises Refused, ModelError."""
        speaker = self._speaker(question)
        said = list(self._pieces(speaker, question.most))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": _text(said), "refusal": None},
            "logprobs": _logprobs(question, said),
            "finish_reason": said[-1].finish,
        }
        told = {**self._head("chat.completion"), "choices": [choice]}
        told["usage"] = _usage(speaker, said)
        if question.begin_likeliest is not None:
            told["prompt_logprobs"] = _of_prompt(speaker)
        return told

    def stream(self, question: Question) -> Iterator[dict[str, Any]]:
        """The chunks of a streamed chat completion. Raises Refused and ModelError at once, before
        the first of them.
        """
        return self._chunks(question, self._speaker(question))

    def _chunks(self, question: Question, speaker: Speaker) -> Iterator[dict[str, Any]]:
        head = self._head("chat.completion.chunk")
        delta = {"role": "assistant", "content": ""}
        yield _chunk(head, {"delta": delta, "finish_reason": None})
        said = []
        for piece in self._pieces(speaker, question.most):
            said.append(piece)
            choice = {
                "delta": {"content": piece.text},
                "logprobs": _logprobs(question, [piece]),
                "finish_reason": piece.finish,
            }
            yield _chunk(head, choice)
        if question.with_usage:
            yield {**head, "choices": [], "usage": _usage(speaker, said)}

    def _speaker(self, question: Question) -> Speaker:
        if question.model != self.name:
            raise Refused(
                f"The model {question.model!r} does not exist here; this server has {self.name!r}.",
                status=404,
                param="model",
                code="model_not_found",
            )
        told = (question.likeliest, question.begin_likeliest)
        with self._lock:
            return Speaker(
                self.model,
                question.picture,
                question.text,
                begin=question.begin,
                likeliest=max(one or 0 for one in told),
            )

    def _pieces(self, speaker: Speaker, most: int) -> Iterator[Piece]:
        """The answer's text as `Generates.generate` has it, token by token."""
        ids: list[int] = []
        told = ""
        tokens = speaker.said(most)
        while True:
            with self._lock:
                spoken = next(tokens)
            ids.append(spoken.id)
            ended = spoken.id in self.model.ends
            finish = "stop" if ended else "length" if len(ids) == most else None
            text = self.model.spelled(ids)
            if finish is None and text.endswith(PARTIAL):
                text = told
            yield Piece(text.removeprefix(told), spoken, finish)
            if finish is not None:
                return
            told = text

    def _head(self, kind: str) -> dict[str, Any]:
        """What every part of a reply begins with."""
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
        }


def _chunk(head: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    return {**head, "choices": [{"index": 0, **choice}]}


def _text(said: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in said)


def _logprobs(question: Question, said: Sequence[Piece]) -> dict[str, Any] | None:
    """Log-probabilities of tokens, where they are asked for."""
    if question.likeliest is None:
        return None
    content = []
    for piece in said:
        likeliest = piece.spoken.likeliest[: question.likeliest]
        told = [_token(text, logprob) for text, logprob in likeliest]
        own = _token(piece.spoken.text, piece.spoken.logprob)
        content.append({**own, "top_logprobs": told})
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {
        "token": text,
        "logprob": max(logprob, UNLIKELIEST),
        "bytes": list(text.encode()),
    }


def _of_prompt(speaker: Speaker) -> list[dict[str, Any] | None]:
    """As vLLM has it: None for the tokens of the question, here all of them."""
    told: list[dict[str, Any] | None] = [None] * speaker.prompt_tokens
    for one in speaker.begun:
        logprob = max(one.logprob, UNLIKELIEST)
        told.append({str(one.id): {"logprob": logprob, "decoded_token": one.text}})
    return told


def _usage(speaker: Speaker, said: Sequence[Piece]) -> dict[str, int]:
    prompt = speaker.prompt_tokens + len(speaker.begun)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(said),
        "total_tokens": prompt + len(said),
    }
