"""A server that records what comes and answers as a test says, and a proxy in front of it."""

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import uvicorn
from PIL import Image

from matboard.images import from_data_url
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.serving.pictures import Prompts
from matboard.serving.proxy import make_proxy

COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a cat"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


@dataclass
class Came:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: socket.socket

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def json(self):
        return json.loads(self.body)

    def left(self, seconds=10):
        """Whether the other side closes the connection within some time."""
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


@dataclass
class Reply:
    """What is answered; a body that is no bytes is sent in chunks. ``cut``: it never ends."""

    body: bytes | Iterable[bytes] = json.dumps(COMPLETION).encode()
    status: int = 200
    headers: list = field(
        default_factory=lambda: [("Content-Type", "application/json")]
    )
    cut: bool = False


class Upstream(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Callable[[Came], Reply], host="127.0.0.1"):
        super().__init__((host, 0), Handler)
        self.script = script
        self.came: list[Came] = []

    @property
    def origin(self):
        host, port = self.server_address
        return f"http://{host}:{port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        came = Came(
            self.command,
            self.path,
            self.headers.items(),
            self._body(),
            self.connection,
        )
        self.server.came.append(came)
        self._send(self.server.script(came))

    def __getattr__(self, name):
        """Every method of HTTP is answered."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.do_POST

    def _body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, reply):
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        whole = isinstance(reply.body, bytes)
        if whole:
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in reply.body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@contextmanager
def upstream(
    script: Callable[[Came], Reply] = lambda came: Reply(), host="127.0.0.1"
) -> Iterator[Upstream]:
    server = Upstream(script, host)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def proxied(prompts: Prompts, address: str, **options) -> Iterator[str]:
    """A proxy in a thread; gives its origin."""
    config = uvicorn.Config(
        make_proxy(prompts, address, **options),
        port=0,
        log_level="critical",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def prompt(seed=0):
    """A small prompt."""
    canvas = Canvas(32, 4)
    drawn = np.random.default_rng(seed).random((3, 32, 32), dtype=np.float32)
    return VisualPrompt(canvas, drawn * canvas.mask())


def picture(seed=0, size=(40, 30)):
    drawn = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(drawn)


def jpeg(seed=0):
    """A picture as a data URL of another kind than PNG."""
    file = io.BytesIO()
    picture(seed).save(file, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def pixels(url):
    return np.asarray(from_data_url(url))


def prompted(given, url):
    """What the upstream is to see of a picture."""
    return np.asarray(given.apply(from_data_url(url)))


def chat(*urls, model="m", text="What is it?", **more):
    """The body of a chat completion's request."""
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": text}, *parts]
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def url_of(came: Came, place: int = 1):
    """A picture in a request as it came."""
    return came.json["messages"][0]["content"][place]["image_url"]["url"]
