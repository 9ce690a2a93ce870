"""A server's chat completions: asked many at once, again where that may help, once for ever, and no
more than is allowed.

The protocol is OpenAI's; `matboard.models.replies` says what a reply must hold. Sending, retries
with growing pauses, and heeding ``Retry-After`` are the ``openai`` package's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from matboard.errors import ModelError
from matboard.extras import needed
from matboard.models import kept_replies
from matboard.models.endpoint_name import OPENAI
from matboard.models.failures import failure_of, misshapen
from matboard.models.replies import Failure, Reply

Body: TypeAlias = Mapping[str, Any]
"""A request's body."""
IN_A_ROW = 32
"""After so many calls in a row without an answer nobody is there (guess)."""
_NAMED = ("model", "messages")
PAUSE = 120.0
"""Seconds before a call is made again, at most: the longest ``Retry-After`` that is heeded."""
Result = TypeVar("Result")


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
        deadline: seconds for a call with its retries. A server that is silent is given up before;
            it ends one that goes on and on.
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

    @property
    def deadline(self) -> float:
        """See the class."""
        return (self.retries + 1) * (self.timeout + PAUSE)


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
            import httpx2
            import openai

        self.name = name
        self.url = url
        self.limits = limits
        self._openai = openai
        self._trusted = httpx2.create_ssl_context()  # takes longer than a client
        self._key = key
        self._kept = kept
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
        found = dict(zip(named, self._run(self._all(named))))
        replies = [found[self._address(body)] for body in bodies]
        self._check_alive(list(found.values()))
        return replies

    def probe(self, body: Body) -> Reply | Failure:
        """A reply, or a failure where the server will not do what is asked. Raises ModelError where
        it does not answer.
        """
        (found,) = self._run(self._all({self._address(body): body}))
        if isinstance(found, Failure) and not found.refused:
            raise self._hopeless(found)
        return found

    def models(self) -> list[str]:
        """The models that the server lists; none where it keeps no list. Raises ModelError where it
        cannot be reached, or not with this key.
        """
        listed = self._run(self._listed())
        rows = listed.get("data") if isinstance(listed, dict) else None
        each = rows if isinstance(rows, list) else []
        return [str(row["id"]) for row in each if isinstance(row, dict) and "id" in row]

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it on a thread of its own, for a notebook's has a loop already. Where that is
        interrupted, calls under way still end, for they are paid for; none is made again.
        """
        self._ended = None
        with ThreadPoolExecutor(1) as thread:
            try:
                return thread.submit(asyncio.run, work).result()
            except BaseException:
                self._ended = self._ended or ModelError(
                    f"{self.name} is asked no more."
                )
                raise

    def _client(self) -> Any:
        """A client for one loop."""
        sending = self._openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [self._count]}, verify=self._trusted
        )
        client = self._openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._key or "none",
            timeout=self.limits.timeout,
            max_retries=self.limits.retries,
            http_client=sending,
        )
        if not self.url.startswith(OPENAI):
            # the client takes them from the environment; they are nobody else's business
            client.organization = client.project = None
        return client

    async def _all(self, asked: Mapping[str, Body]) -> list[Reply | Failure]:
        """Replies in order. Raises ModelError once what is under way has ended."""
        gate = asyncio.Semaphore(self.limits.concurrency)
        async with self._client() as client:
            calls = [self._one(client, gate, *one) for one in asked.items()]
            found = await asyncio.gather(*calls, return_exceptions=True)
        if self._ended is not None:
            raise self._ended
        replies = []
        for one in found:
            if isinstance(one, BaseException):
                raise one
            replies.append(one)
        return replies

    async def _listed(self) -> Any:
        """A server's list of models as it comes, None where there is none."""
        async with self._client() as client:
            try:
                async with asyncio.timeout(self.limits.deadline):
                    raw = await client.models.with_raw_response.list()
                return json.loads(raw.content)
            except (self._openai.NotFoundError, ValueError):
                return None
            except TimeoutError:
                raise self._hopeless(self._endless()) from None
            except self._openai.OpenAIError as error:
                raise self._hopeless(self._failure(error)) from None

    async def _one(
        self, client: Any, gate: asyncio.Semaphore, address: str, body: Body
    ) -> Reply | Failure:
        reply = kept_replies.read(self._kept, address)
        if reply is not None:
            self._answered = True
            return reply
        async with gate:
            if self._ended is not None:
                return Failure("the command has ended")
            try:
                return await self._paid(client, address, body)
            except ModelError as error:
                self._ended = self._ended or error
                raise

    async def _paid(self, client: Any, address: str, body: Body) -> Reply | Failure:
        """What is not kept yet."""
        try:
            async with asyncio.timeout(self.limits.deadline):
                reply = Reply.model_validate_json(await self._send(client, body))
        except TimeoutError:
            return self._silence(self._endless())
        except ValidationError as error:
            return self._silence(misshapen(error))
        except self._openai.OpenAIError as error:
            return self._silence(self._failure(error))
        self._tokens += reply.usage.total_tokens if reply.usage else 0
        self._answered = True
        self._silent = 0
        kept_replies.write(self._kept, address, reply)
        return reply

    async def _send(self, client: Any, body: Body) -> bytes:
        """One call, with its retries."""
        most = self.limits.tokens
        if most is not None and self._tokens >= most:
            raise self._spent(f"{self._tokens} tokens", "tokens", most)
        rest = {key: value for key, value in body.items() if key not in _NAMED}
        raw = await client.chat.completions.with_raw_response.create(
            model=body["model"], messages=body["messages"], extra_body=rest
        )
        return bytes(raw.content)

    async def _count(self, request: Any) -> None:
        """Before every request that leaves, retries among them."""
        if not request.url.path.endswith("/chat/completions"):
            return
        most = self.limits.calls
        if self._ended is not None:
            raise self._ended
        if most is not None and self._calls >= most:
            raise self._spent(f"{self._calls} calls", "calls", most)
        self._calls += 1

    def _spent(self, spent: str, kind: str, most: int) -> ModelError:
        return ModelError(
            f"{self.name}: {spent} are spent, and the limit is {most}. All answers so far are kept;"
            f" raise it (--max-{kind}, the model's max_{kind} in a configuration, or"
            f" MATBOARD_API_{kind.upper()}) and run the same command again to go on."
        )

    def _endless(self) -> Failure:
        return Failure(f"its answer did not end within {self.limits.deadline:g} s")

    def _silence(self, failure: Failure) -> Failure:
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
        failure = failure_of(error, self.limits.timeout, self.limits.retries + 1)
        if failure.hopeless:
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
