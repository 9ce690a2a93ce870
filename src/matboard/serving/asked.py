"""What a client asks of the server, checked: one question about one picture.

Of OpenAI's chat completions this much is understood, and of vLLM's extensions what scores a given
answer (``prompt_logprobs``, ``continue_final_message``). Whatever else would change the answer is
refused, but for what only matters to models that draw their tokens by lot: answers are greedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from PIL.Image import Image
from pydantic import BaseModel, Field, ValidationError

from matboard.errors import ImageError, shown
from matboard.images import from_data_url
from matboard.serving.wire import Refused

MOST_PIXELS = 16 * 2**20
"""Of a picture (guess)."""
MOST_TOKENS = 1024
"""Of an answer (guess)."""
USUAL_TOKENS = 64
"""Of an answer, where a client does not say (guess)."""


class ImageUrl(BaseModel):
    """Where a picture is."""

    url: str


class TextPart(BaseModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    """What one side said."""

    role: Literal["user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(p.text for p in self.content if isinstance(p, TextPart))

    @property
    def pictures(self) -> list[str]:
        """Addresses of its pictures."""
        if isinstance(self.content, str):
            return []
        return [p.image_url.url for p in self.content if isinstance(p, ImagePart)]


class StreamOptions(BaseModel):
    """What a stream holds beside the answer."""

    include_usage: bool = False


class Request(BaseModel):
    """The body of a request, as far as it is understood."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    prompt_logprobs: int | None = Field(None, ge=0, le=20)
    continue_final_message: bool = False
    add_generation_prompt: bool = True
    n: Literal[1] | None = None
    stop: None = None
    tools: None = None
    response_format: None = None


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        begin: what the answer begins with; None where it is free.
        most: tokens of the answer.
        likeliest: how many tokens are told in each place of the answer; None: no log-probabilities.
        begin_likeliest: the same, in each place of what it begins with.
    """

    model: str
    picture: Image
    text: str
    begin: str | None
    most: int
    likeliest: int | None
    begin_likeliest: int | None
    stream: bool
    with_usage: bool


def read_question(body: bytes) -> Question:
    """What a request's body asks. Raises Refused."""
    try:
        request = Request.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None
    begin = _begin(request)
    asked = request.messages[0]
    pictures = [url for message in request.messages for url in message.pictures]
    if asked.role != "user" or len(pictures) != 1 or not asked.pictures:
        raise Refused(
            "This server answers one question about one picture: expected one message of role user"
            " with a text and one image_url; got"
            f" {_count(request.messages, 'message')} with {_count(pictures, 'picture')}.",
            param="messages",
        )
    likeliest = request.top_logprobs or 0 if request.logprobs else None
    return Question(
        model=request.model,
        picture=_picture(pictures[0]),
        text=asked.text,
        begin=begin,
        most=request.max_completion_tokens or request.max_tokens or USUAL_TOKENS,
        likeliest=likeliest,
        begin_likeliest=request.prompt_logprobs,
        stream=request.stream,
        with_usage=bool(
            request.stream_options and request.stream_options.include_usage
        ),
    )


def _begin(request: Request) -> str | None:
    """What the answer begins with: the last message, where the server shall continue it."""
    continued = request.continue_final_message
    if continued and request.add_generation_prompt:
        raise Refused(
            "continue_final_message goes with add_generation_prompt: false.",
            param="add_generation_prompt",
        )
    if len(request.messages) == 1 and not continued:
        if request.prompt_logprobs is not None:
            raise Refused(
                "prompt_logprobs are told of a given answer only: add it as a message of role"
                " assistant, with continue_final_message: true and add_generation_prompt: false.",
                param="prompt_logprobs",
            )
        return None
    last = request.messages[-1]
    begin = last.text
    if len(request.messages) == 2 and continued and last.role == "assistant" and begin:
        return begin
    raise Refused(
        "This server has no memory of a conversation: expected one message of role user, and behind"
        " it at most one of role assistant that the answer begins with (continue_final_message:"
        f" true, add_generation_prompt: false); got {_count(request.messages, 'message')}.",
        param="messages",
    )


def _picture(url: str) -> Image:
    try:
        picture = from_data_url(url, MOST_PIXELS)
    except ImageError as error:
        raise Refused(str(error), param="messages") from None
    if picture is None:
        raise Refused(
            f"The picture's address is {shown(url, 60)}; this server fetches nothing. Send the"
            " picture itself, as data:image/png;base64,….",
            param="messages",
        )
    return picture


def _refused(error: ValidationError) -> Refused:
    """The first thing that is wrong with a request."""
    wrong = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, wrong["loc"]))
    if not where:
        return Refused(f"The request is not a JSON object: {wrong['msg']}.")
    if wrong["type"] == "none_required":
        return Refused(
            f"{where} is not supported by this server; leave it out.", param=where
        )
    return Refused(f"{where}: {wrong['msg']}.", param=where)


def _count(things: Sequence[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
