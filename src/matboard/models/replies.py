"""What is read of a chat completion: the answer, and what log-probabilities say of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Annotated, Any

from pydantic import BaseModel, Field

from matboard.errors import ModelError, shown

LIKELIEST = 20
"""First tokens asked for; no more are given by OpenAI, nor by vLLM unless told so."""


Logprob = Annotated[float, Field(allow_inf_nan=False, le=0.001)]
"""In nats; what rounding may add is let through."""


class Token(BaseModel):
    """A token and its log-probability, in nats."""

    token: str
    logprob: Logprob


class First(Token):
    """A token that was said, and the likeliest that might have been."""

    top_logprobs: list[Token] = []


class Logprobs(BaseModel):
    """Of the tokens said."""

    content: list[First] | None = None


class Message(BaseModel):
    """What was said."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One answer."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Usage(BaseModel):
    """What was paid for."""

    total_tokens: int = 0


class PromptToken(BaseModel):
    """A token of the prompt, as vLLM describes it."""

    logprob: Logprob
    decoded_token: str | None = None


class Reply(BaseModel):
    """What is read of a chat completion; ``prompt_logprobs`` is vLLM's: a token of the prompt each,
    by its id.
    """

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None
    prompt_logprobs: list[dict[str, PromptToken] | None] | None = None


@dataclass(frozen=True)
class Failure:
    """Why a call was not answered, as a clause for people.

    Attributes:
        refused: whether the server would not do what was asked (status 400 and the like).
        hopeless: whether every other call would end like this.
    """

    reason: str
    refused: bool = False
    hopeless: bool = False


def text_of(reply: Reply | Failure) -> str | Failure:
    """What was said, or why nothing was."""
    if isinstance(reply, Failure):
        return reply
    choice = reply.choices[0]
    if choice.finish_reason == "content_filter":
        return Failure("the server's filter kept the answer back", True)
    if choice.message.content:
        return choice.message.content.strip()
    if choice.message.refusal:
        return Failure(f"it refused: {shown(choice.message.refusal)}", True)
    if choice.finish_reason == "length":
        return Failure("its tokens were used up before it said anything", True)
    if choice.message.content is None:
        return Failure("its reply holds no text", True)
    return ""


def whole_answer() -> Mapping[str, Any]:
    """What a request for `WHOLE` holds."""
    return {
        "max_tokens": 1,
        "prompt_logprobs": 0,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


def answer_tokens(reply: Reply | Failure, answer: str) -> list[float] | Failure:
    """Log-probabilities of an answer's tokens: the last of the prompt that together spell it."""
    if isinstance(reply, Failure):
        return reply
    wanted = "".join(answer.split())
    spelled = ""
    found: list[float] = []
    for entry in reversed(reply.prompt_logprobs or []):
        if not entry:
            break
        token = next(iter(entry.values()))
        spelled = "".join((token.decoded_token or "").split()) + spelled
        found.append(token.logprob)
        if spelled == wanted:
            return found
        if not wanted.endswith(spelled):
            break
    return Failure(f"the log-probabilities given do not spell {answer!r}", True)


def first_tokens() -> Mapping[str, Any]:
    """What a request for `FIRST` holds."""
    return {"max_tokens": 1, "logprobs": True, "top_logprobs": LIKELIEST}


def likeliest(reply: Reply) -> list[tuple[str, float]]:
    """The likeliest first tokens with their log-probabilities; empty where none are given."""
    told = reply.choices[0].logprobs
    first = told.content[0] if told is not None and told.content else None
    listed = [] if first is None else first.top_logprobs
    return [(one.token, one.logprob) for one in listed]


def first_token_scores(
    reply: Reply | Failure, options: Sequence[str]
) -> list[float] | Failure:
    """Log-probability of each candidate's first token, over all ways that it is written."""
    if isinstance(reply, Failure):
        return reply
    mass = [0.0] * len(options)
    for token, logprob in likeliest(reply):
        start = token.strip().casefold()
        fitting = [
            place
            for place, option in enumerate(options)
            if start and option.strip().casefold().startswith(start)
        ]
        if len({options[place] for place in fitting}) > 1:
            named = " and ".join(repr(options[place]) for place in fitting[:2])
            return Failure(f"{named} may begin with the same token {token!r}", True)
        for place in fitting:
            mass[place] += math.exp(logprob)
    if not any(mass):
        return Failure(
            f"no candidate is among the {LIKELIEST} likeliest first tokens", True
        )
    return [math.log(one) if one else -math.inf for one in mass]


def check_first_tokens(name: str, options: Sequence[str]) -> None:
    """Refuse candidates of which one begins with another. Raises ModelError."""
    folded = {option.strip().casefold(): option for option in options}
    for short, long in permutations(folded, 2):
        if long.startswith(short):
            raise ModelError(
                f"{name} gives log-probabilities of first tokens only, and those cannot tell"
                f" {folded[long]!r} from {folded[short]!r}. Judge what it writes: scorer"
                " generation."
            )
