"""A chat server that answers as a test's script says: well, badly, late, or not at all."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """One HTTP reply.

    Attributes:
        cut: so many bytes of the body are sent, then the connection is closed.
        after: seconds before anything is sent.
        drip: seconds before each byte of the body.
    """

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    kind: str = "application/json"
    cut: int | None = None
    after: float = 0.0
    drip: float = 0.0


def said(text, finish="stop", tokens=10, **more):
    """A chat completion."""
    choice = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
    }
    whole = {"choices": [{**choice, **more}], "usage": {"total_tokens": tokens}}
    return Reply(json.dumps(whole).encode())


def refused(status, message, **more):
    """An error in OpenAI's shape."""
    headers = more.pop("headers", {})
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return Reply(body, status, headers)


def question(body):
    """What a request asks."""
    return body["messages"][0]["content"][1]["text"]


class ChatServer(ThreadingHTTPServer):
    """A server in a thread.

    Attributes:
        script: from a request's body and how often its question came before to a reply.
        probed: whether the script also answers what is asked when a model is loaded; otherwise
            that is answered plainly, and not among ``asked``.
        asked: body, headers and time of every request.
        listed: names of the models; None: there is no list.
        dripping: seconds before each byte of that list.
    """

    daemon_threads = True

    def __init__(self, script: Callable):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.probed = False
        self.asked: list = []
        self.listed: list | None = ["m"]
        self.dripping = 0.0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def name(self):
        return f"openai:m@{self.url}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.server.listed
        if names is None:
            self._send(Reply(b"no such page", 404, kind="text/plain"))
        else:
            rows = [{"id": name} for name in names]
            body = json.dumps({"data": rows}).encode()
            self._send(Reply(body, drip=self.server.dripping))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        if question(body) == "Is it white?" and not server.probed:
            self._send(said("yes"))
            return
        with server.lock:
            times = sum(question(one) == question(body) for one, _, _ in server.asked)
            server.asked.append((body, dict(self.headers), time.monotonic()))
        self._send(server.script(body, times))

    def _send(self, reply):
        time.sleep(reply.after)
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not reply.drip:
            self.wfile.write(reply.body[: reply.cut])
            return
        with suppress(OSError):  # nobody waits for the rest
            for byte in reply.body:
                time.sleep(reply.drip)
                self.wfile.write(bytes([byte]))

    def log_message(self, *_):
        pass


@contextmanager
def serving(script: Callable, probed: bool = False) -> Iterator[ChatServer]:
    server = ChatServer(script)
    server.probed = probed
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
