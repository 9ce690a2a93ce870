"""What the servers here share: a socket, bodies of bounded size, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from matboard.errors import InputError

SECONDS = 60.0
"""For a request's body to arrive (guess)."""
PARTING = 3
"""Seconds that answers under way have to end once the server is stopped (guess)."""


class Refused(InputError):
    """A request that is not answered.

    Args:
        status: of HTTP.
        param: the part of the request that is wrong.
        code: OpenAI's name for what is wrong, where it has one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def told(self) -> dict[str, Any]:
        """As OpenAI's servers tell it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": str(self),
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """The same as a reply."""
        return JSONResponse(self.told(), status_code=self.status)


def failed() -> Refused:
    """What clients are told of an error that is nobody's business but the log's."""
    return Refused("The server failed; its log says how.", status=500)


async def on_http(request: Request, error: Exception) -> Response:
    """For a Starlette application: what it has no answer to has OpenAI's shape."""
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}."
    return Refused(said, status=error.status_code).response()


async def on_any(_: Request, error: Exception) -> Response:
    """For a Starlette application: whatever is raised has OpenAI's shape."""
    return failed().response()


async def read_body(request: Request, most: int) -> bytes:
    """A request's body, of bounded size and in bounded time. Raises Refused."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise _too_long(most)
    content = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    raise _too_long(most)
    except TimeoutError:
        raise Refused(
            f"The request did not arrive within {SECONDS:g} s.", status=408
        ) from None
    return bytes(content)


def _too_long(most: int) -> Refused:
    return Refused(
        f"The request has more than {most} bytes, the most that are taken. Shrink the picture.",
        status=413,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve at; port 0 is any free one. Raises InputError where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"Nothing can be served at {host}, port {port} ({reason.lower()}). Name another with"
            " --port, 0 for any free one."
        ) from None


def origin(listening: socket.socket) -> str:
    """Where clients find what is served at a socket: ``http://127.0.0.1:8000``."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    return ip_address(listening.getsockname()[0]).is_loopback


class _Announced(uvicorn.Server):
    """A server that says when it answers, and heeds interrupts."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        self._ready()


def serve(
    app: ASGIApp,
    listening: socket.socket,
    ready: Callable[[], object],
    *,
    own_headers: bool = True,
) -> None:
    """Serve until the process is interrupted.

    Args:
        ready: is called once requests are answered.
        own_headers: whether replies name this server and its time.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=own_headers,
        date_header=own_headers,
        timeout_graceful_shutdown=PARTING,
    )
    _Announced(config, ready).run(sockets=[listening])
