"""A server's chat completions: asked many at once, again where that may help, once for ever, and no
more than is allowed.

The protocol is OpenAI's; `matboard.models.replies` says what a reply must hold. Sending, retries
with growing pauses, and heeding ``Retry-After`` are the ``openai`` package's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

from pydantic import ValidationError

from matboard.disk import make_folder, read_regular, write_whole
from matboard.errors import ModelError, first_line
from matboard.extras import needed
from matboard.models.replies import Failure, Reply

OPENAI = "https://api.openai.com/"
Body: TypeAlias = Mapping[str, Any]
"""A request's body."""
MOST_BYTES = 64 * 2**20
"""Of a kept reply (guess)."""
IN_A_ROW = 32
"""After so many calls in a row without an answer nobody is there (guess)."""
HOPELESS = (401, 402, 403, 404, 405)
"""What every other call would be answered too: no key, no money, no such model or address."""
LONGEST = 200
"""Characters of a server's words that are passed on."""
_NAMED = ("model", "messages")
AGAIN = (408, 409, 429)
"""Of those below 500, what may pass."""
SPENT = "insufficient_quota"
"""OpenAI's code for an account without credit; its status is that of a rate limit."""


@dataclass(frozen=True)
class Limits:
    """How a server is asked.

    Attributes:
        concurrency: calls under way at once.
        timeout: seconds to connect, and then without any sign of the server.
        retries: how often a call is made again that found no server, no answer in time, too many
            calls (429), or the server's own error (5xx).
        calls: at most so many are sent, retries among them; None: any number.
        tokens: no call is sent once so many are used up, as the server counts them.
    """

    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 4
    calls: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        least = {"concurrency": 1, "timeout": 0.001, "retries": 0}
        least |= {"calls": 0, "tokens": 0}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is None and name in ("calls", "tokens"):
                continue
            if not isinstance(value, int | float) or not smallest <= value <= 10**9:
                raise ModelError(
                    f"{name} of a model behind an API is {value!r}; expected a number from"
                    f" {smallest:g} on."
                )


class Chat:
    """The chat completions of one server.

    Args:
        name: of the model, for errors.
        url: of the server, ending before ``/chat/completions``.
        key: None where the server wants none.
        kept: folder of answers, one file each, named by the content of what was asked.

    Raises:
        MissingExtra: the package ``openai`` is not installed.
    """

    def __init__(
        self, name: str, url: str, key: str | None, kept: Path, limits: Limits
    ) -> None:
        with needed():
            import openai

        self.name = name
        self.url = url
        self.kept = kept
        self.limits = limits
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=url,
            api_key=key or "none",
            timeout=limits.timeout,
            max_retries=limits.retries,
            http_client=openai.DefaultHttpxClient(
                event_hooks={"request": [self._count]}
            ),
        )
        if not url.startswith(OPENAI):
            # the client takes them from the environment; they are nobody else's business
            self._client.organization = self._client.project = None
        self._lock = Lock()
        self._calls = 0
        self._tokens = 0
        self._answered = False
        self._silent = 0
        self._ended: ModelError | None = None

    def ask(self, bodies: Sequence[Body]) -> list[Reply | Failure]:
        """A reply to each request, in order, or why there is none. Equal requests are sent once,
        and what was answered at any time is not sent again.

        Raises:
            ModelError: a limit is reached; the server knows no such model, wants another key, or
                answers nothing at all. What was answered until then is kept.
        """
        named = {self._address(body): body for body in bodies}
        self._ended = None
        pool = ThreadPoolExecutor(self.limits.concurrency)
        try:
            found = dict(zip(named, pool.map(self._one, named, named.values())))
        except BaseException:
            # what is under way ends, and is not made again
            self._ended = self._ended or ModelError(f"{self.name} is asked no more.")
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        replies = [found[self._address(body)] for body in bodies]
        self._check_alive(list(found.values()))
        return replies

    def probe(self, body: Body) -> Reply | Failure:
        """A reply, or a failure where the server will not do what is asked. Raises ModelError where
        it does not answer.
        """
        found = self._one(self._address(body), body)
        if isinstance(found, Failure) and not found.refused:
            raise self._hopeless(found)
        return found

    def models(self) -> list[str]:
        """The models that the server lists; none where it keeps no list. Raises ModelError where it
        cannot be reached, or not with this key.
        """
        try:
            raw = self._client.models.with_raw_response.list()
            listed = json.loads(raw.content)
        except self._openai.NotFoundError:
            return []
        except self._openai.OpenAIError as error:
            raise self._hopeless(self._failure(error)) from None
        except ValueError:
            return []
        rows = listed.get("data") if isinstance(listed, dict) else None
        each = rows if isinstance(rows, list) else []
        return [str(row["id"]) for row in each if isinstance(row, dict) and "id" in row]

    def _one(self, address: str, body: Body) -> Reply | Failure:
        file = self.kept / address[:2] / f"{address}.json"
        reply = _read_kept(file)
        if reply is not None:
            self._answered = True
            return reply
        if self._ended is not None:
            return Failure("the command has ended")
        try:
            return self._paid(file, body)
        except ModelError as error:
            self._ended = error
            raise

    def _paid(self, file: Path, body: Body) -> Reply | Failure:
        """What is not kept yet."""
        try:
            reply = Reply.model_validate_json(self._send(body))
        except ValidationError as error:
            said = f"its reply is no chat completion: {_what(error)}"
            return self._silence(Failure(said))
        except self._openai.OpenAIError as error:
            return self._silence(self._failure(error))
        with self._lock:
            self._tokens += reply.usage.total_tokens if reply.usage else 0
            self._answered = True
            self._silent = 0
        _keep(file, reply)
        return reply

    def _send(self, body: Body) -> bytes:
        """One call, with its retries."""
        most = self.limits.tokens
        if most is not None and self._tokens >= most:
            raise self._spent(f"{self._tokens} tokens", "MATBOARD_API_TOKENS", most)
        rest = {key: value for key, value in body.items() if key not in _NAMED}
        raw = self._client.chat.completions.with_raw_response.create(
            model=body["model"], messages=body["messages"], extra_body=rest
        )
        return bytes(raw.content)

    def _count(self, request: Any) -> None:
        """Before every request that leaves, retries among them."""
        if not request.url.path.endswith("/chat/completions"):
            return
        with self._lock:
            most = self.limits.calls
            if self._ended is not None:
                raise self._ended
            if most is not None and self._calls >= most:
                raise self._spent(f"{self._calls} calls", "MATBOARD_API_CALLS", most)
            self._calls += 1

    def _spent(self, what: str, variable: str, most: int) -> ModelError:
        return ModelError(
            f"{self.name}: {what} are spent, and the limit is {most}. All answers so far are kept;"
            f" set {variable} higher and run the same command again to go on."
        )

    def _silence(self, failure: Failure) -> Failure:
        with self._lock:
            self._silent += not failure.refused
        return failure

    def _check_alive(self, found: Sequence[Reply | Failure]) -> None:
        """Stop where every call of a batch failed, and there is no reason to hope."""
        failures = [one for one in found if isinstance(one, Failure)]
        hopeless = not self._answered or self._silent >= IN_A_ROW
        if hopeless and len(failures) == len(found):
            raise self._hopeless(failures[-1])

    def _failure(self, error: Any) -> Failure:
        """What an error of the client says. Raises ModelError where all other calls would fail the
        same way.
        """
        openai = self._openai
        if isinstance(error, openai.APITimeoutError):
            waited = f"no sign of the server within {self.limits.timeout:g} s"
            return Failure(f"{waited}, tried {self.limits.retries + 1} times")
        if not isinstance(error, openai.APIStatusError):
            said = first_line(error.__cause__ or error)
            return Failure(f"the connection failed ({said})")
        status = error.status_code
        said = " ".join(_said(error).split())[:LONGEST]
        refused = 400 <= status < 500 and status not in AGAIN
        failure = Failure(f"status {status}: {said}", refused)
        if status in HOPELESS or error.code == SPENT:
            raise self._hopeless(failure)
        return failure

    def _hopeless(self, failure: Failure) -> ModelError:
        return ModelError(
            f"{self.name} does not answer at {self.url}: {failure.reason}. Check its name, that the"
            " address is what comes before /chat/completions (it often ends in /v1), that the"
            " server runs, and the key: MATBOARD_API_KEY, or OPENAI_API_KEY for OpenAI's own"
            " server. Answers so far are kept."
        )

    def _address(self, body: Body) -> str:
        told = json.dumps([self.url, body], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()


def _said(error: Any) -> str:
    """The server's own words, in OpenAI's form or any other."""
    told = error.body
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        told = told["error"]
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        return str(told["message"])
    return str(error.response.text) or "no words with it"


def _what(error: ValidationError) -> str:
    """The first thing that is wrong with a reply."""
    wrong = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, wrong["loc"]))
    return f"{where}: {wrong['msg']}" if where else wrong["msg"]


def _read_kept(file: Path) -> Reply | None:
    """A kept reply; a file that cannot be read counts as none."""
    try:
        return Reply.model_validate_json(read_regular(file, MOST_BYTES))
    except (OSError, ValidationError):
        return None


def _keep(file: Path, reply: Reply) -> None:
    try:
        make_folder(file.parent)
        content = reply.model_dump_json(exclude_none=True).encode()
        write_whole(file, content, replace=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ModelError(
            f"The answer of a model behind an API cannot be kept: {file}: {reason}. Make room, or"
            " set MATBOARD_CACHE to another folder; asked again it would cost again."
        ) from error
