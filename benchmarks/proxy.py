"""What `matboard proxy` adds to a request, beside no proxy and beside one that only passes on.

    python benchmarks/proxy.py
    python benchmarks/proxy.py --side 3000 --rounds 20   # a phone's picture

One request is a chat completion with a JPEG in a data URL; the upstream answers at once, so all
time is the way there and back. Each side is a process of its own, and they are asked in turns. The
bare proxy reads the body and passes it and the reply on, on the same server and client (uvicorn,
httpx2): what ours takes beyond it is the prompt and the care. The processor's time, without
waiting, holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import httpx2
import numpy as np
import psutil
import uvicorn
from PIL import Image

from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.serving.pictures import Prompts
from matboard.serving.proxy import make_proxy
from matboard.serving.wire import listen, origin

PATH = "/v1/chat/completions"
REPLY = json.dumps({"choices": [{"message": {"content": "a cat"}}]}).encode()


@dataclass(frozen=True)
class Side:
    """Who is asked."""

    address: str
    process: psutil.Process

    @property
    def worked(self) -> float:
        """Seconds of a processor, so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


Sides = Mapping[str, Side]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The upstream: reads all, answers at once."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": REPLY})


def bare(upstream: str) -> Any:
    """A proxy that passes everything on and looks at nothing."""
    client = httpx2.AsyncClient(timeout=None)

    async def forward(scope: Any, receive: Any, send: Any) -> None:
        content = bytearray()
        more = True
        while more:
            message = await receive()
            content += message["body"]
            more = message["more_body"]
        async with client.stream(
            "POST", f"{upstream}{scope['path']}", content=bytes(content)
        ) as reply:
            head = {"type": "http.response.start", "status": reply.status_code}
            await send({**head, "headers": reply.headers.raw})
            async for part in reply.aiter_raw():
                await send(
                    {"type": "http.response.body", "body": part, "more_body": True}
                )
        await send({"type": "http.response.body"})

    return forward


def ours(upstream: str) -> Any:
    """`matboard proxy` with a border of random values, which PNG cannot make small."""
    canvas = Canvas()
    return make_proxy(Prompts(VisualPrompt(canvas, _drawn(canvas))), upstream)


def _drawn(canvas: Canvas) -> Any:
    values = np.random.default_rng(0).random((3, canvas.size, canvas.size))
    return (values * canvas.mask()).astype("float32")


def serve(make: Callable[..., Any], upstream: str | None, ready: Connection) -> None:
    """Serve in a process of its own, and tell the address."""
    app = make if upstream is None else make(upstream)
    with closing(listen("127.0.0.1", 0)) as listening:
        ready.send(origin(listening))
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


def start(stack: ExitStack, make: Callable[..., Any], upstream: str | None) -> Side:
    """A server in a process; it ends with the stack."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(make, upstream, there), daemon=True)
    process.start()
    stack.callback(process.terminate)
    return Side(here.recv(), psutil.Process(process.pid))


def request(side: int) -> bytes:
    """A question about a square picture, smooth as photographs are, with some grain."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
    smooth = np.asarray(rough.resize((side, side), Image.Resampling.BICUBIC), float)
    grain = rng.normal(0, 4, smooth.shape)
    picture = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": "m", "messages": messages}).encode()


def latencies(sides: Sides, body: bytes, rounds: int) -> dict[str, list[float]]:
    """Seconds of each request, one at a time, in turns, after ten rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    with httpx2.Client(timeout=None) as client:
        for turn in range(rounds + 10):
            for name, side in sides.items():
                started = time.perf_counter()
                client.post(side.address + PATH, content=body).raise_for_status()
                if turn >= 10:
                    times[name].append(time.perf_counter() - started)
    return times


async def throughput(address: str, body: bytes, count: int, at_once: int) -> float:
    """Requests a second, so many at once."""
    waiting = iter(range(count))

    async def ask(client: httpx2.AsyncClient) -> None:
        for _ in waiting:
            (await client.post(address + PATH, content=body)).raise_for_status()

    async with httpx2.AsyncClient(timeout=None) as client:
        started = time.perf_counter()
        await asyncio.gather(*(ask(client) for _ in range(at_once)))
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=640, help="of the picture, pixels")
    parser.add_argument("--rounds", type=int, default=100, help="requests of each side")
    parser.add_argument("--at-once", type=int, default=8, help="for the throughput")
    asked = parser.parse_args()
    body = request(asked.side)
    with ExitStack() as stack:
        upstream = start(stack, answer, None)
        sides = {
            "no proxy": upstream,
            "bare proxy": start(stack, bare, upstream.address),
            "matboard proxy": start(stack, ours, upstream.address),
        }
        times = latencies(sides, body, asked.rounds)
        rates = {}
        work = {}
        for name, side in sides.items():
            before = side.worked
            many = throughput(side.address, body, asked.rounds, asked.at_once)
            rates[name] = asyncio.run(many)
            work[name] = (side.worked - before) / asked.rounds
    print(f"request of {len(body) / 1000:.0f} kB, picture {asked.side}×{asked.side}")
    heads = ("p50, ms", "p99, ms", "added", "requests/s", "processor, ms")
    print(f"{'':16}" + "".join(f"{head:>15}" for head in heads))
    direct = statistics.median(times["no proxy"])
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        slow = float(np.quantile(seconds, 0.99))
        told = (middle * 1e3, slow * 1e3, (middle - direct) * 1e3)
        told = (*told, rates[name], work[name] * 1e3)
        print(f"{name:16}" + "".join(f"{one:15.1f}" for one in told))


if __name__ == "__main__":
    main()
