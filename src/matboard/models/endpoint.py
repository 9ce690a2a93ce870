"""Models behind an API: any OpenAI-compatible chat endpoint, called ``openai:MODEL@URL``.

Pictures are sent as PNG files inside the request (data URLs), so every pixel of a prompt arrives as
it was learned. What the server then does to a picture nobody here knows.

An API can rank candidates in one of two ways; which one a server offers, it is asked when the
model is loaded:

=================  ===============================================================================
`WHOLE`            the log-probabilities of a given answer's tokens, as vLLM gives them for the
                   prompt (``prompt_logprobs``) where the answer is the beginning of the reply
                   (``continue_final_message``). The same rule as for open models.
`FIRST`            the likeliest first tokens of a reply (``top_logprobs``), as OpenAI gives them:
                   a candidate's score is that of its first token alone, in whatever case it is
                   written. No candidate may begin with another, and one that is not among the
                   likeliest counts as impossible.
=================  ===============================================================================

A server that offers neither is judged by what it writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from matboard import settings
from matboard.errors import Unanswered, UnknownName
from matboard.images import decode, to_data_url, to_picture
from matboard.models.capabilities import Generates, Pictures, Ranks
from matboard.models.chat import Body, Chat, Limits
from matboard.models.counts import common_count, same_count
from matboard.models.endpoint_name import OPENAI, parts_of
from matboard.models.replies import (
    Failure,
    Reply,
    answer_tokens,
    check_first_tokens,
    first_token_scores,
    first_tokens,
    likeliest,
    text_of,
    whole_answer,
)

Scoring: TypeAlias = Literal["whole answers", "first tokens"]
WHOLE: Scoring = "whole answers"
FIRST: Scoring = "first tokens"


class _Endpoint(Generates):
    """What every model behind an API can do.

    Args:
        name: as the user calls it.
        model: as the server calls it.
        chat: the server.
        request: what its requests hold beside, or instead; a value of None leaves a part out.
    """

    closed = True

    def __init__(
        self, name: str, model: str, chat: Chat, request: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.chat = chat
        self._model = model
        self._request = dict(request)
        if request:
            self.settings = f"requests with {json.dumps(self._request, sort_keys=True)}"

    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """See `Generates.generate`: what the server gives at temperature 0.

        Raises:
            ModelError: unequal counts; see `Chat.ask`.
            Unanswered: about some pictures there is no answer.
        """
        same_count(images, questions)
        asked = zip(_pngs(images), questions)
        bodies = [self._body(*one, {"max_tokens": max_new_tokens}) for one in asked]
        given = [text_of(reply) for reply in self.chat.ask(bodies)]
        answers = ["" if isinstance(one, Failure) else one for one in given]
        _check_answered(self.name, given, answers)
        return answers

    def _body(
        self, png: str, question: str, parts: Body, answer: str | None = None
    ) -> Body:
        """A request about one picture; ``answer`` is what the reply begins with."""
        content = [
            {"type": "image_url", "image_url": {"url": png}},
            {"type": "text", "text": question},
        ]
        messages: list[Body] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        told = {"model": self._model, "messages": messages, "temperature": 0, **parts}
        if self.chat.url.startswith(OPENAI):
            told["max_completion_tokens"] = told.pop("max_tokens")
        told |= self._request
        return {key: value for key, value in told.items() if value is not None}


class Endpoint(_Endpoint):
    """A model behind an API that gives no log-probabilities."""


class RankingEndpoint(_Endpoint, Ranks):
    """A model behind an API that gives log-probabilities.

    Args:
        scoring: which, see the module.
    """

    def __init__(
        self,
        name: str,
        model: str,
        chat: Chat,
        request: Mapping[str, Any],
        scoring: Scoring,
    ) -> None:
        super().__init__(name, model, chat, request)
        self.scoring = scoring
        if scoring == FIRST:
            told = "where it ranks, the first token of each candidate alone"
            self.settings = "; ".join(filter(None, (told, self.settings)))

    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """See `Ranks.candidate_log_likelihoods`, and the module for what is scored.

        Raises:
            ModelError: unequal counts; candidates that first tokens cannot tell apart; see
                `Chat.ask`.
            Unanswered: about some pictures there are no scores.
        """
        same_count(images, questions, candidates)
        common_count(candidates)
        rows = list(zip(_pngs(images), questions, candidates))
        if self.scoring == FIRST:
            given = self._by_first_tokens(rows)
        else:
            given = self._by_whole_answers(rows, length_normalised)
        empty = [math.nan] * len(candidates[0])
        scores = torch.tensor(
            [empty if isinstance(row, Failure) else row for row in given],
            dtype=torch.float64,
        )
        _check_answered(self.name, given, scores)
        return scores

    def _by_first_tokens(
        self, rows: Sequence[tuple[str, str, Sequence[str]]]
    ) -> list[list[float] | Failure]:
        for _, _, options in rows:
            check_first_tokens(self.name, options)
        bodies = [self._body(*row[:2], first_tokens()) for row in rows]
        each = zip(self.chat.ask(bodies), rows)
        return [first_token_scores(reply, row[2]) for reply, row in each]

    def _by_whole_answers(
        self, rows: Sequence[tuple[str, str, Sequence[str]]], mean: bool
    ) -> list[list[float] | Failure]:
        asked = [(png, question, one) for png, question, own in rows for one in own]
        bodies = [self._body(p, q, whole_answer(), one) for p, q, one in asked]
        scores = []
        for reply, (_, _, answer) in zip(self.chat.ask(bodies), asked):
            found = answer_tokens(reply, answer)
            if not isinstance(found, Failure):
                found = [sum(found) / (len(found) if mean else 1)]
            scores.append(found)
        count = len(rows[0][2])
        parts = [scores[at : at + count] for at in range(0, len(scores), count)]
        return [_together(part) for part in parts]


def load(
    name: str,
    *,
    kept: Path,
    concurrency: int = Limits.concurrency,
    timeout: float = Limits.timeout,
    retries: int = Limits.retries,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    request: Mapping[str, Any] | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Endpoint | RankingEndpoint:
    """A model behind an API. It is asked once or twice about a white picture, to see whether it
    gives log-probabilities.

    Args:
        name: ``openai:MODEL@URL``; without ``@URL`` OpenAI's own.
        kept: folder where its answers are kept.
        concurrency, timeout, retries: see `Limits`.
        max_calls, max_tokens: of all calls of this object; where None, as the environment says.
        request: what its requests hold beside, or instead, such as ``{"temperature": None,
            "max_completion_tokens": 500}``; None leaves a part out.
        dtype, device: the server's own business; taken and not used.

    Raises:
        ModelError: a name of another form, or the server does not answer.
        MissingExtra: the package ``openai`` is not installed.
    """
    del dtype, device
    model, url = parts_of(name)
    limits = Limits(
        concurrency,
        timeout,
        retries,
        settings.api_calls() if max_calls is None else max_calls,
        settings.api_tokens() if max_tokens is None else max_tokens,
    )
    key = settings.api_key(openai=url.startswith(OPENAI))
    chat = Chat(name, url, key, kept, limits)
    plain = Endpoint(name, model, chat, request or {})
    scoring = _offered(plain)
    if scoring is None:
        return plain
    return RankingEndpoint(name, model, chat, request or {}, scoring)


def look_up(name: str) -> None:
    """See that a server is there and knows the model, where it lists its models.

    Raises:
        ModelError: it cannot be reached, or not with this key.
        UnknownName: it lists other models only.
        MissingExtra: the package ``openai`` is not installed.
    """
    model, url = parts_of(name)
    key = settings.api_key(openai=url.startswith(OPENAI))
    listed = Chat(name, url, key, Path(), Limits(retries=1)).models()
    if listed and model not in listed:
        raise UnknownName(f"model of {url}", model, listed)


def _offered(model: Endpoint) -> Scoring | None:
    """Which log-probabilities a server gives. Raises ModelError where it does not answer."""
    png = to_data_url(Image.new("RGB", (64, 64), "white"))
    answer = "yes"
    question = "Is it white?"
    whole = model.chat.probe(model._body(png, question, whole_answer(), answer))
    if not isinstance(answer_tokens(whole, answer), Failure):
        return WHOLE
    first = model.chat.probe(model._body(png, question, first_tokens()))
    if isinstance(first, Reply) and likeliest(first):
        return FIRST
    return None


def _pngs(images: Pictures) -> list[str]:
    pictures: Sequence[Image.Image]
    if isinstance(images, Tensor):
        pictures = [to_picture(one.detach().cpu().numpy()) for one in images]
    else:
        pictures = images
    return [to_data_url(decode(picture)) for picture in pictures]


def _together(scores: Sequence[list[float] | Failure]) -> list[float] | Failure:
    """The scores of one picture's candidates; a failure where one is missing."""
    row: list[float] = []
    for score in scores:
        if isinstance(score, Failure):
            return score
        row += score
    return row


def _check_answered(
    name: str, rows: Sequence[object], given: list[str] | Tensor
) -> None:
    """Raises Unanswered where there are failures."""
    reasons = {
        place: row.reason for place, row in enumerate(rows) if isinstance(row, Failure)
    }
    if reasons:
        raise Unanswered(name, given, reasons)
