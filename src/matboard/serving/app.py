"""A local server that speaks OpenAI's chat protocol for one model of matboard.

    GET  /v1/models              the model's name
    POST /v1/chat/completions    one question about one picture, see `matboard.serving.asked`

Errors have OpenAI's shape. Nothing is fetched and nothing is kept.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from matboard.errors import InputError, ModelError
from matboard.models.capabilities import FrozenModel, Generates, require
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.serving.answer import Answerer
from matboard.serving.asked import read_question
from matboard.serving.wire import Refused, failed, on_any, on_http, read_body

MOST_BYTES = 32 * 2**20
"""Of a request's body (guess)."""

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
            return Refused(said, status=404, code="model_not_found").response()
        return JSONResponse(_card(name, created))

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await read_body(request, most_bytes)
        question = await run_in_threadpool(read_question, body)
        if not question.stream:
            return JSONResponse(await run_in_threadpool(answerer.reply, question))
        chunks = await run_in_threadpool(answerer.stream, question)
        return StreamingResponse(_events(chunks), media_type="text/event-stream")

    @app.exception_handler(InputError)
    async def _on_input(_: Request, error: InputError) -> Response:
        refused = error if isinstance(error, Refused) else Refused(str(error))
        return refused.response()

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_any)
    return app


def _events(chunks: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Server-sent events; a failure midway is told as OpenAI's servers tell it."""
    try:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
    except (
        Exception
    ):  # whatever a model raises: the reply has begun, only an event can say so
        logger.exception("an answer broke off")
        yield f"data: {json.dumps(failed().told())}\n\n"
        return
    yield "data: [DONE]\n\n"


def _card(name: str, created: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "matboard",
    }
