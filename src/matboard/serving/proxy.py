"""A server between clients and an OpenAI-compatible one, that puts a prompt on every picture.

Chat completions and responses are read whole, their pictures prompted and sent on as PNG data URLs.
Everything else passes as it comes: other paths, other parts of a request, and every reply, chunk by
chunk. Headers pass too, but for those that belong to one connection (RFC 9110, 7.6.1); keys among
them are neither kept nor logged. A reply says in its own headers what became of the pictures:

==================  ==============================================================================
matboard-prompted   how many have the prompt
matboard-warning    how many passed as they came, and why the first of them did
==================  ==============================================================================
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from matboard.errors import ConfigError, first_line, shown
from matboard.serving.fetching import Fetcher
from matboard.serving.headers import Headers, passed_on
from matboard.serving.pictures import Asked, Outcome, Prompts
from matboard.serving.wire import Refused, on_any, on_http, read_body

MOST_BYTES = 64 * 2**20
"""Of a request with pictures (guess)."""
MOST_PIXELS = 64 * 2**20
"""Of a picture; the largest of today's phones have 50 million (guess)."""
CONNECT = 10.0
"""Seconds to reach the upstream; for its answer clients wait as long as they like (guess)."""
LONGEST = 400
"""Characters of a warning."""
CONVERSATIONS = {"/chat/completions": "messages", "/responses": "input"}
"""The end of a path → what a request there holds its pictures in."""

logger = logging.getLogger(__name__)


def make_proxy(
    prompts: Prompts,
    upstream: str,
    *,
    fetcher: Fetcher | None = None,
    most_bytes: int = MOST_BYTES,
    most_pixels: int = MOST_PIXELS,
) -> Starlette:
    """The proxy of one server.

    Args:
        upstream: its address; requests keep their paths, so only scheme, host and port count.
        fetcher: of pictures that are named by an address; None: those are left alone.
        most_bytes: of a request with pictures.
        most_pixels: of a picture.

    Raises:
        ConfigError: the upstream's address is none.
    """
    forward = _Forward(prompts, origin_of(upstream), fetcher, most_bytes, most_pixels)

    @asynccontextmanager
    async def open_for_use(_: Starlette) -> AsyncIterator[None]:
        async with forward.client:
            yield
        if fetcher is not None:
            await fetcher.close()
        forward.workers.shutdown(wait=False, cancel_futures=True)

    return Starlette(
        routes=[Mount("/", forward)],
        exception_handlers={HTTPException: on_http, Exception: on_any},
        lifespan=open_for_use,
    )


def origin_of(upstream: str) -> str:
    """Scheme, host and port of a server's address. Raises ConfigError."""
    if "@" in upstream:
        raise ConfigError(
            "The upstream's address holds a user or password; leave it out. Clients send their own"
            " key, and it is passed on."
        )
    try:
        parts = urlsplit(upstream)
        usable = parts.port != 0 and not parts.query and not parts.fragment
        url = httpx2.URL(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, httpx2.InvalidURL):  # such as a port that is none
        usable = False
    if not usable or parts.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"The upstream is {shown(upstream)}; expected the address of an OpenAI-compatible"
            " server, such as http://127.0.0.1:8000/v1 or https://api.openai.com/v1."
        )
    return str(url).rstrip("/")


class _Forward:
    """What answers every request, as an ASGI application."""

    def __init__(
        self,
        prompts: Prompts,
        origin: str,
        fetcher: Fetcher | None,
        most_bytes: int,
        most_pixels: int,
    ) -> None:
        self.workers = ThreadPoolExecutor(os.cpu_count() or 1)
        # no limit of its own, no memory of cookies, patience without end
        self.client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            cookies=http.cookiejar.CookieJar(_NoCookies()),
        )
        self._prompts = prompts
        self._origin = origin
        self._fetcher = fetcher
        self._most_bytes = most_bytes
        self._most_pixels = most_pixels

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and stop as soon as the client has left: what it asked upstream ends too."""
        heard = asyncio.Event()
        answering = asyncio.ensure_future(self._answer(scope, receive, send, heard))
        leaving = asyncio.ensure_future(_left(receive, heard))
        try:
            await asyncio.wait(
                (answering, leaving), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            unfinished = [one for one in (answering, leaving) if one.cancel()]
            await asyncio.gather(*unfinished, return_exceptions=True)
        if not answering.cancelled():
            answering.result()

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, heard: asyncio.Event
    ) -> None:
        """Pass a request on and its reply back.

        Args:
            heard: is set once the request has arrived whole.
        """
        request = Request(scope, receive)
        try:
            asked, told = await self._outgoing(request, heard)
            reply = await self._ask(asked)
        except Refused as refused:
            await refused.response()(scope, receive, send)
        except ClientDisconnect:
            pass
        else:
            heard.set()
            await _pass_back(reply, told, send)

    async def _outgoing(
        self, request: Request, heard: asyncio.Event
    ) -> tuple[httpx2.Request, Headers]:
        """What is sent on, and headers of the reply that say so. Raises Refused."""
        target = _target(request.scope)
        conversation = _conversation(request)
        headers = passed_on(request.headers.raw, b"host", b"expect")
        told: Headers = []
        content: bytes | AsyncIterator[bytes] | None = None
        if conversation is not None:
            arrived = await read_body(request, self._most_bytes)
            heard.set()
            outcome = await self._prompted(request, conversation, arrived)
            content, told = outcome.content, _told(outcome)
            headers = passed_on(headers, b"content-length")
        elif {"content-length", "transfer-encoding"} & set(request.headers):
            content = _streamed(request, heard)
        else:
            heard.set()
        asked = httpx2.Request(
            request.method,
            self._origin,
            headers=headers,
            content=content,
            extensions={"target": target},
        )
        return asked, told

    async def _prompted(
        self, request: Request, conversation: str, content: bytes
    ) -> Outcome:
        """A body with prompted pictures. Raises Refused."""
        if request.headers.get("content-encoding", "identity") != "identity":
            reason = "the request is compressed, and what is in it was not looked at."
            return Outcome(content, untouched=(reason,))
        loop = asyncio.get_running_loop()
        asked = await loop.run_in_executor(self.workers, Asked, content, conversation)
        prompt = self._prompts.of(asked.model)
        fetched = {}
        if self._fetcher is not None and prompt is not None:
            places = list(asked.elsewhere)
            found = await asyncio.gather(*map(self._fetcher.fetch, places))
            fetched = dict(zip(places, found))
        return await loop.run_in_executor(
            self.workers, asked.with_prompt, prompt, fetched, self._most_pixels
        )

    async def _ask(self, asked: httpx2.Request) -> httpx2.Response:
        """The upstream's reply, its body still to come. Raises Refused."""
        try:
            return await self.client.send(asked, stream=True)
        except httpx2.HTTPError as error:
            reason = first_line(error)
            logger.warning("%s: %s", self._origin, reason)
            raise Refused(
                f"The upstream {self._origin} does not answer ({reason}). See that it runs, and"
                " that the proxy was started with its address.",
                status=502,
            ) from None


class _NoCookies(http.cookiejar.DefaultCookiePolicy):
    """Cookies are the client's own; they pass in headers."""

    def set_ok(self, *_: object) -> bool:
        """See `http.cookiejar.CookiePolicy.set_ok`."""
        return False


def _target(scope: Scope) -> bytes:
    """Path and query as they came. Raises Refused."""
    path: bytes = scope["raw_path"]
    if not path.startswith(b"/"):
        raise Refused(
            "Expected a path that begins with /, as requests to servers have."
        )
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _conversation(request: Request) -> str | None:
    """What a request holds its pictures in; None where it is no such request."""
    path: str = request.scope["path"].rstrip("/")
    kinds = CONVERSATIONS.items() if request.method == "POST" else ()
    return next((key for end, key in kinds if path.endswith(end)), None)


async def _streamed(request: Request, heard: asyncio.Event) -> AsyncIterator[bytes]:
    """A request's body as it arrives."""
    async for part in request.stream():
        yield part
    heard.set()


async def _left(receive: Receive, heard: asyncio.Event) -> None:
    """Returns when a client has left."""
    await heard.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_back(reply: httpx2.Response, told: Headers, send: Send) -> None:
    """A reply, chunk by chunk. Where it is cut, so is ours, and the client sees that."""
    headers = [*passed_on(reply.headers.raw), *told]
    start = {"type": "http.response.start", "status": reply.status_code}
    part = {"type": "http.response.body", "more_body": True}
    try:
        await send({**start, "headers": headers})
        async for content in reply.aiter_raw():
            await send({**part, "body": content})
        await send({"type": "http.response.body"})
    except httpx2.HTTPError as error:
        logger.warning("the upstream broke off its reply: %s", first_line(error))
    finally:
        with suppress(httpx2.HTTPError):
            await reply.aclose()


def _told(outcome: Outcome) -> Headers:
    """What became of the pictures."""
    told = [(b"matboard-prompted", str(outcome.prompted).encode())]
    if outcome.untouched:
        count = len(outcome.untouched)
        said = f"{count} untouched: {' '.join(outcome.untouched[0].split())}"
        told.append((b"matboard-warning", said[:LONGEST].encode("ascii", "replace")))
    return told
