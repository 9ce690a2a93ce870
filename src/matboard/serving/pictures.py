"""Pictures in the body of a request, and the prompt that goes on them.

A picture is a part of type ``image_url`` (chat completions) or ``input_image`` (responses): of what
was said, or of what a tool returned. Screenshots of OpenAI's computer use are left alone, for where
to click is told in their own pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from matboard.errors import ImageError, PictureTooLarge, shown
from matboard.images import decode, from_data_url, to_data_url
from matboard.prompts.artifact import VisualPrompt
from matboard.serving.wire import Refused

MOST_PICTURES = 500
"""Of a request; as OpenAI's servers take."""
KINDS = ("image_url", "input_image")
PARTS = ("content", "output")
"""Keys of a message, or of a tool's output, that hold its parts."""
Fetched: TypeAlias = Mapping[str, bytes | ImageError]
"""Address → a picture's file, or why there is none."""


@dataclass(frozen=True)
class Prompts:
    """Which prompt goes with which model.

    Attributes:
        default: of models that are not named; None: their pictures are left alone.
    """

    default: VisualPrompt | None = None
    by_model: Mapping[str, VisualPrompt] = field(default_factory=dict)

    def of(self, model: object) -> VisualPrompt | None:
        """The prompt of a model, by the name that a request calls it."""
        own = self.by_model.get(model) if isinstance(model, str) else None
        return own or self.default


@dataclass(frozen=True)
class Picture:
    """A picture in a request.

    Attributes:
        place: where in the body, such as ``messages.0.content.1``.
        holder, key: what holds its address.
    """

    place: str
    holder: dict[str, Any]
    key: str

    @property
    def address(self) -> object:
        """A URL, or whatever stands in its place."""
        return self.holder.get(self.key)


@dataclass(frozen=True)
class Outcome:
    """A body to send on.

    Attributes:
        prompted: how many pictures have the prompt.
        untouched: why the others are as they came, a sentence each.
    """

    content: bytes
    prompted: int = 0
    untouched: tuple[str, ...] = ()


class Asked:
    """A request's body. A body that is no JSON object has no pictures.

    Args:
        conversation: its key that holds them: ``messages`` or ``input``.

    Raises:
        Refused: more than `MOST_PICTURES`.
    """

    def __init__(self, content: bytes, conversation: str) -> None:
        self.content = content
        self._conversation = conversation
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        self._body = body if isinstance(body, dict) else {}
        told = self._body.get(conversation)
        self._pictures = tuple(_pictures(told, conversation))
        if len(self._pictures) > MOST_PICTURES:
            raise Refused(
                f"The request has {len(self._pictures)} pictures; at most {MOST_PICTURES} are"
                " taken.",
                param=conversation,
            )

    @property
    def model(self) -> object:
        """Whom it asks."""
        return self._body.get("model")

    @property
    def elsewhere(self) -> set[str]:
        """Addresses of pictures that are not in the request itself."""
        addresses = (one.address for one in self._pictures)
        return {
            one
            for one in addresses
            if isinstance(one, str)
            and one[:8].lower().startswith(("http://", "https://"))
        }

    def with_prompt(
        self, prompt: VisualPrompt | None, fetched: Fetched, most_pixels: int
    ) -> Outcome:
        """The body with the prompt on its pictures; the same bytes where there is none to put it
        on. Done once: pictures are replaced in place.

        Args:
            fetched: what was found at addresses; what is missing was not looked for.
            most_pixels: of a picture.

        Raises:
            Refused: a picture is too large.
        """
        if prompt is None:
            reason = f"there is no prompt for the model {shown(self.model)}."
            reasons = tuple(f"{one.place}: {reason}" for one in self._pictures)
            return Outcome(self.content, untouched=reasons)
        untouched = []
        for picture in self._pictures:
            try:
                found = _decoded(picture.address, fetched, most_pixels)
            except PictureTooLarge as error:
                said = f"{picture.place}: {error}"
                raise Refused(said, param=self._conversation) from None
            except ImageError as error:
                untouched.append(f"{picture.place}: {error}")
            else:
                url = to_data_url(prompt.apply(found), compress_level=1)
                picture.holder[picture.key] = url
        prompted = len(self._pictures) - len(untouched)
        content = self._written() if prompted else self.content
        return Outcome(content, prompted, tuple(untouched))

    def _written(self) -> bytes:
        try:
            return json.dumps(self._body, allow_nan=False).encode()
        except ValueError:  # 1e400 was read as infinity
            said = "The request holds a number that is too large, or none (NaN)."
            raise Refused(said) from None
        except RecursionError:
            raise Refused("The request is nested too deeply.") from None


def _pictures(conversation: object, name: str) -> Iterator[Picture]:
    """In order."""
    for number, item in enumerate(_listed(conversation)):
        for key in PARTS if isinstance(item, dict) else ():
            for index, part in enumerate(_listed(item.get(key))):
                if isinstance(part, dict) and part.get("type") in KINDS:
                    place = f"{name}.{number}.{key}.{index}"
                    yield _picture(place, part)


def _picture(place: str, part: dict[str, Any]) -> Picture:
    """Chat completions have the address in an object of its own."""
    told = part.get("image_url")
    if isinstance(told, dict):
        return Picture(place, told, "url")
    return Picture(place, part, "image_url")


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _decoded(address: object, fetched: Fetched, most_pixels: int) -> Any:
    """The picture at an address. Raises ImageError."""
    if not isinstance(address, str):
        raise ImageError("It names no address; files on the server are out of reach.")
    found = fetched.get(address)
    if isinstance(found, ImageError):
        raise found
    if found is not None:
        return decode(found, most_pixels)
    picture = from_data_url(address, most_pixels)
    if picture is None:
        raise ImageError(
            f"It is at {shown(address, 60)}, which the proxy does not fetch; --fetch lets it fetch"
            " http and https."
        )
    return picture
