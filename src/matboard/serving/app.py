"""A local server that speaks OpenAI's chat protocol for one model of matboard.

    GET  /v1/models              the model's name
    POST /v1/chat/completions    one question about one picture, see `matboard.serving.asked`

Errors have OpenAI's shape. Nothing is fetched and nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from matboard.errors import InputError, ModelError
from matboard.models.capabilities import FrozenModel, Generates, require
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.serving.answer import Answerer
from matboard.serving.asked import Refused, read_question

MOST_BYTES = 32 * 2**20
"""Of a request's body (guess)."""
SECONDS = 60.0
"""For a request's body to arrive (guess)."""

logger = logging.getLogger(__name__)


def make_app(model: FrozenModel, *, most_bytes: int = MOST_BYTES) -> FastAPI:
    """The server of one model, by its name.

    Args:
        most_bytes: of a request's body.

    Raises:
        ModelError: the model cannot generate answers.
    """
    name = model.name
    require(model, Generates, doing="serving a model")
    if not isinstance(model, HuggingFaceVLM):
        raise ModelError(
            f"{name} is no open vision-language model; only those can be served."
        )
    answerer = Answerer(model, name)
    app = FastAPI(title="matboard", docs_url=None, redoc_url=None, openapi_url=None)
    created = int(time.time())

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(name, created)]}

    @app.get("/v1/models/{wanted:path}")
    def one_model(wanted: str) -> Response:
        if wanted != name:
            said = (
                f"The model {wanted!r} does not exist here; this server has {name!r}."
            )
            return _error(Refused(said, status=404, code="model_not_found"))
        return JSONResponse(_card(name, created))

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await _body(request, most_bytes)
        question = await run_in_threadpool(read_question, body)
        if not question.stream:
            return JSONResponse(await run_in_threadpool(answerer.reply, question))
        chunks = await run_in_threadpool(answerer.stream, question)
        return StreamingResponse(_events(chunks), media_type="text/event-stream")

    @app.exception_handler(InputError)
    async def _on_input(_: Request, error: InputError) -> Response:
        return _error(error if isinstance(error, Refused) else Refused(str(error)))

    @app.exception_handler(HTTPException)
    async def _on_http(request: Request, error: HTTPException) -> Response:
        said = f"{request.method} {request.url.path}: {error.detail}."
        return _error(Refused(said, status=error.status_code))

    @app.exception_handler(Exception)
    async def _on_any(_: Request, error: Exception) -> Response:
        return _error(Refused("The server failed; its log says how.", status=500))

    return app


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serve until the process is interrupted."""
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


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


async def _body(request: Request, most: int) -> bytes:
    """A request's body, of bounded size and in bounded time. Raises Refused."""
    content = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    raise Refused(
                        f"The request has more than {most} bytes, the most that are taken. Shrink"
                        " the picture.",
                        status=413,
                    )
    except TimeoutError:
        raise Refused(
            f"The request did not arrive within {SECONDS:g} s.", status=408
        ) from None
    return bytes(content)


def _events(chunks: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Server-sent events; a failure midway is told as OpenAI's servers tell it."""
    try:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
    except (
        Exception
    ):  # whatever a model raises: the reply has begun, only an event can say so
        logger.exception("an answer broke off")
        broken = Refused("The server failed; its log says how.", status=500)
        yield f"data: {json.dumps(_told(broken))}\n\n"
        return
    yield "data: [DONE]\n\n"


def _card(name: str, created: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "matboard",
    }


def _error(refused: Refused) -> Response:
    return JSONResponse(_told(refused), status_code=refused.status)


def _told(refused: Refused) -> dict[str, Any]:
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {
        "error": {
            "message": str(refused),
            "type": kind,
            "param": refused.param,
            "code": refused.code,
        }
    }
