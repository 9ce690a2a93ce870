"""The proxy: pictures are prompted, all else passes, and nobody waits for who has left."""

import gzip
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import httpx2
import numpy as np
import openai
import pytest
from upstream import (
    COMPLETION,
    Reply,
    chat,
    jpeg,
    picture,
    pixels,
    prompt,
    prompted,
    proxied,
    upstream,
    url_of,
)

from matboard.errors import ConfigError
from matboard.images import to_data_url
from matboard.serving.pictures import Asked, Prompts
from matboard.serving.proxy import origin_of
from matboard.serving.wire import Refused

PROMPT = prompt()
BROKEN = "data:image/png;base64,AAAA"


@pytest.fixture(scope="module")
def server():
    with upstream() as running:
        yield running


@pytest.fixture(scope="module")
def origin(server):
    with proxied(Prompts(PROMPT), server.origin, most_pixels=10_000) as address:
        yield address


@pytest.fixture
def came(server):
    """What comes while a test runs."""
    server.came.clear()
    return server.came


@cache
def web():
    """One client for all tests: to make one takes longer than to use it."""
    return httpx2.Client(timeout=60)


def client(origin, **options):
    told = {"api_key": "sk-secret", "max_retries": 0, "http_client": web(), **options}
    return openai.OpenAI(base_url=f"{origin}/v1", **told)


def post(origin, body, path="/v1/chat/completions", **options):
    return web().post(origin + path, json=body, **options)


def test_a_chat_arrives_as_it_was_but_for_its_picture(origin, came):
    url = jpeg()
    body = chat(url, temperature=0.25, seed=7, user="é", logit_bias={"5": -1})
    body["messages"].insert(0, {"role": "system", "content": "Be brief."})
    body["messages"][1]["content"][1]["image_url"]["detail"] = "low"
    said = client(origin).chat.completions.with_raw_response.create(
        **body, extra_body={"top_k": 3, "deep": [{"x": None, "y": 1e-7, "z": 2**70}]}
    )
    assert said.parse().choices[0].message.content == "a cat"
    assert said.headers["matboard-prompted"] == "1"
    assert "matboard-warning" not in said.headers
    (one,) = came
    arrived = one.json
    image = arrived["messages"][1]["content"][1]["image_url"]
    assert np.array_equal(pixels(image["url"]), prompted(PROMPT, url))
    image["url"] = url
    expected = {**body, "top_k": 3, "deep": [{"x": None, "y": 1e-7, "z": 2**70}]}
    assert arrived == expected
    assert one.header("authorization") == ["Bearer sk-secret"]
    assert one.target == "/v1/chat/completions"


def test_responses_and_what_tools_return_are_prompted(origin, came):
    urls = [to_data_url(picture(seed)) for seed in range(3)]
    images = [{"type": "input_image", "image_url": url} for url in urls]
    shot = {"type": "computer_screenshot", "image_url": urls[0]}
    asked = [
        {"role": "user", "content": [{"type": "input_text", "text": "?"}, images[0]]},
        {"type": "function_call_output", "call_id": "1", "output": images[1:]},
        {"type": "computer_call_output", "call_id": "2", "output": shot},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
    ]
    said = client(origin).responses.with_raw_response.create(model="m", input=asked)
    arrived = came[0].json["input"]
    seen = [arrived[0]["content"][1], *arrived[1]["output"]]
    for one, url in zip(seen, urls, strict=True):
        assert np.array_equal(pixels(one["image_url"]), prompted(PROMPT, url))
    assert arrived[2:] == asked[2:]
    assert said.headers["matboard-prompted"] == "3"
    assert said.headers["matboard-warning"] == (
        "1 untouched: input.3.content.0: It names no address; files on the server are out of reach."
    )


def test_a_picture_that_cannot_be_read_passes_and_a_header_says_so(origin, came):
    body = chat(BROKEN, "https://example.com/a.png", "data:image/png;base64,=?")
    said = post(origin, body)
    assert said.json() == COMPLETION
    assert came[0].body == said.request.content
    assert said.headers["matboard-prompted"] == "0"
    assert said.headers["matboard-warning"].startswith(
        "3 untouched: messages.0.content.1: The picture (3 bytes) is not a picture; expected one"
    )
    remote = post(origin, chat("https://example.com/a.png"))
    assert (
        "which the proxy does not fetch; --fetch" in remote.headers["matboard-warning"]
    )
    mixed = post(origin, chat(BROKEN, jpeg()))
    assert mixed.headers["matboard-prompted"] == "1"
    assert url_of(came[-1]) == BROKEN and url_of(came[-1], 2) != jpeg()


def test_requests_that_hold_no_picture_pass_byte_by_byte(origin, came):
    for body in (
        b'{"model":"m",  "messages": [{"role":"user","content":"caf\\u00e9"}]}',
        b'{"model": "m", "messages": "none"}',
        b"no json",
        b"",
        b"[" * 100_000,
        b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"messages": [3, {"content": [null, {"type": {}}], "output": 5}]}',
    ):
        web().post(f"{origin}/v1/chat/completions", content=body)
        assert came[-1].body == body


def test_a_compressed_request_passes_with_a_warning(origin, came):
    body = gzip.compress(json.dumps(chat(jpeg())).encode())
    said = web().post(
        f"{origin}/v1/chat/completions",
        content=body,
        headers={"content-encoding": "gzip"},
    )
    assert came[0].body == body
    assert "the request is compressed" in said.headers["matboard-warning"]


def test_every_model_has_its_own_prompt(server, came):
    own = {"x": prompt(1), "org/y:z": prompt(2)}
    url = jpeg()
    with proxied(Prompts(None, own), server.origin) as origin:
        for model, one in own.items():
            post(origin, chat(url, model=model))
            assert np.array_equal(pixels(url_of(came[-1])), prompted(one, url))
        for model in ("other", None, ["x"], {"x": 1}):
            said = post(origin, chat(url, model=model))
            assert url_of(came[-1]) == url
            assert "no prompt for the model" in said.headers["matboard-warning"]


def test_many_requests_at_once_do_not_mix(server, came):
    prompts = Prompts(PROMPT, {f"m{number}": prompt(number) for number in range(4)})
    urls = [jpeg(seed) for seed in range(24)]

    def ask(number):
        chats = client(origin).chat.completions
        body = chat(urls[number], model=f"m{number % 5}", text=str(number))
        return chats.create(**body).choices[0].message.content

    with proxied(prompts, server.origin) as origin, ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(24))) == {"a cat"}
    assert len(came) == 24
    for one in came:
        number = int(one.json["messages"][0]["content"][0]["text"])
        expected = prompted(prompts.of(f"m{number % 5}"), urls[number])
        assert np.array_equal(pixels(url_of(one)), expected)


def test_what_is_too_large_is_refused_in_openais_shape(server, came):
    huge = to_data_url(picture(size=(101, 100)))
    limits = {"most_bytes": 100_000, "most_pixels": 10_000}
    with proxied(Prompts(PROMPT), server.origin, **limits) as origin:
        with pytest.raises(openai.BadRequestError) as refused:
            client(origin).chat.completions.create(**chat(huge))
        said = refused.value.body
        assert said["param"] == "messages" and said["type"] == "invalid_request_error"
        assert said["message"] == (
            "messages.0.content.1: The picture (30646 bytes) has 101×100 pixels; at most 10000 are"
            " allowed. Shrink it first."
        ).replace("30646", said["message"].split("(")[1].split(" ")[0])
        long = chat(jpeg(), text="x" * 100_000)
        with pytest.raises(openai.APIStatusError, match="more than 100000 bytes"):
            client(origin).chat.completions.create(**long)
        raw = json.dumps(long).encode()
        parts = (raw[at : at + 5000] for at in range(0, len(raw), 5000))
        said = web().post(f"{origin}/v1/chat/completions", content=parts)
        assert (said.status_code, said.json()["error"]["type"]) == (
            413,
            "invalid_request_error",
        )
        crowd = post(origin, chat(*["x"] * 501))
        assert crowd.status_code == 400
        assert "has 501 pictures; at most 500" in crowd.json()["error"]["message"]
        # what holds no prompted pictures is not held, and may be as long as the upstream likes
        assert web().post(f"{origin}/v1/files", content=raw).status_code == 200
    assert [one.target for one in came] == ["/v1/files"]
    assert came[0].body == raw


def test_a_stream_arrives_chunk_by_chunk():
    seen = threading.Event()

    def chunks():
        for place, text in enumerate(("a", " cat")):
            delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            chunk = {
                **COMPLETION,
                "object": "chat.completion.chunk",
                "choices": [delta],
            }
            yield f"data: {json.dumps(chunk)}\n\n".encode()
            # the second is sent once the first has been read
            assert place or seen.wait(20)
        yield b"data: [DONE]\n\n"

    kind = [("Content-Type", "text/event-stream"), ("X-Request-Id", "1")]
    with (
        upstream(lambda came: Reply(chunks(), headers=kind)) as server,
        proxied(Prompts(PROMPT), server.origin) as origin,
    ):
        stream = client(origin).chat.completions.create(**chat(jpeg()), stream=True)
        assert stream.response.headers["matboard-prompted"] == "1"
        said = []
        for chunk in stream:
            said.append(chunk.choices[0].delta.content)
            seen.set()
    assert said == ["a", " cat"]


def test_a_cut_stream_is_cut_for_the_client_too(caplog):
    def cut(came):
        return Reply(iter([b"data: {}\n\n"]), cut=True)

    with upstream(cut) as server, proxied(Prompts(PROMPT), server.origin) as origin:
        address = f"{origin}/v1/chat/completions"
        with web().stream("POST", address, json=chat(jpeg())) as reply:
            read = reply.iter_raw()
            assert next(read) == b"data: {}\n\n"
            with pytest.raises(httpx2.RemoteProtocolError):
                next(read)
    assert "the upstream broke off its reply" in caplog.text


@pytest.mark.parametrize("begun", [True, False], ids=["midway", "before a reply"])
def test_who_leaves_is_not_answered(begun):
    arrived, left = threading.Event(), threading.Event()

    def watch(came):
        arrived.set()
        if came.left(30):
            left.set()

    def script(came):
        def first():
            yield b"data: 1\n\n"
            watch(came)

        if begun:
            return Reply(first(), cut=True)
        watch(came)
        return Reply(b"", status=204)

    body = json.dumps(chat(jpeg(), stream=True)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    )
    with upstream(script) as server, proxied(Prompts(PROMPT), server.origin) as origin:
        host, port = origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as wire:
            wire.sendall(f"{head}\r\n\r\n".encode() + body)
            while begun and b"data: 1" not in wire.recv(65536):
                pass
            assert arrived.wait(60)
            assert not left.is_set()
        assert left.wait(30)


def test_an_upstream_that_is_down_is_said(caplog):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with proxied(Prompts(PROMPT), f"http://127.0.0.1:{port}/v1") as origin:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as down:
                client(origin).chat.completions.create(**chat(jpeg()))
    assert down.value.status_code == 502
    said = down.value.body["message"]
    assert said.startswith(f"The upstream http://127.0.0.1:{port} does not answer (")
    assert said.endswith("and that the proxy was started with its address.")
    assert "sk-secret" not in caplog.text and jpeg()[:40] not in caplog.text


def test_an_upstream_that_hangs_up_is_said():
    def hang_up(came):
        came.connection.shutdown(socket.SHUT_RDWR)
        return Reply()

    with upstream(hang_up) as server, proxied(Prompts(PROMPT), server.origin) as origin:
        said = post(origin, chat(jpeg()))
    assert said.status_code == 502
    assert "does not answer" in said.json()["error"]["message"]


def test_other_paths_methods_and_parts_pass(origin, came):
    parts = iter([b"one ", b"two"])
    web().post(f"{origin}/v1/files?purpose=a%20b&x=1", content=parts)
    web().delete(f"{origin}/v1/files/a%2Fb")
    web().get(f"{origin}/v1/responses/r-1")
    web().put(f"{origin}/v1/chat/completions", json=chat(jpeg()))
    assert [(one.method, one.target) for one in came] == [
        ("POST", "/v1/files?purpose=a%20b&x=1"),
        ("DELETE", "/v1/files/a%2Fb"),
        ("GET", "/v1/responses/r-1"),
        ("PUT", "/v1/chat/completions"),
    ]
    assert came[0].body == b"one two" and came[0].header("content-length") == []
    assert url_of(came[3]) == jpeg()


def test_headers_of_one_connection_stay_there(origin, server, came):
    host, port = origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: there\r\nConnection: close, X-Mine\r\n"
            b"X-Mine: 1\r\nX-Passed: a\r\nX-Passed: b\r\nTE: trailers\r\n"
            b"Proxy-Authorization: Basic x\r\nApi-Key: k\r\nAccept: */*\r\n\r\n"
        )
        b"".join(iter(lambda: wire.recv(65536), b""))
    (one,) = came
    assert dict(one.headers).keys() == {"Host", "x-passed", "api-key", "accept"}
    assert one.header("x-passed") == ["a", "b"] and one.header("api-key") == ["k"]
    assert one.header("host") == [server.origin.removeprefix("http://")]


def test_replies_pass_as_they_are():
    packed = gzip.compress(b"hello")
    headers = [
        ("Content-Encoding", "gzip"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2; Path=/"),
        ("Keep-Alive", "timeout=5"),
        ("Location", "http://127.0.0.1:1/elsewhere"),
    ]

    def script(came):
        if came.target == "/none":
            return Reply(b"", status=204, headers=[])
        return Reply(packed, status=307, headers=headers)

    with upstream(script) as server, proxied(Prompts(PROMPT), server.origin) as origin:
        said = web().get(f"{origin}/there")
        assert said.status_code == 307 and said.content == b"hello"
        assert said.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
        assert said.headers["location"] == "http://127.0.0.1:1/elsewhere"
        assert "keep-alive" not in said.headers
        names = [name.lower() for name, _ in said.headers.raw]
        assert names.count(b"date") == names.count(b"server") == 1
        web().cookies.clear()  # the proxy keeps none for others
        head = web().head(f"{origin}/there")
        assert head.headers["content-length"] == str(len(packed))
        web().cookies.clear()
        assert web().get(f"{origin}/none").status_code == 204
    assert all(one.header("cookie") == [] for one in server.came)
    assert [one.method for one in server.came] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "%2Fx"])
def test_it_is_no_open_proxy(origin, came, target):
    host, port = origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        wire.sendall(head.encode())
        reply = b"".join(iter(lambda: wire.recv(65536), b""))
    assert reply.split()[1] in (b"400", b"404")
    assert b"invalid_request_error" in reply
    assert came == []


def test_nothing_of_a_request_is_logged(origin, came, caplog):
    caplog.set_level(logging.DEBUG, logger="matboard")
    client(origin).chat.completions.create(**chat(jpeg()))
    post(origin, chat(BROKEN), path="/v1/chat/completions?key=sk-secret")
    assert len(came) == 2 and caplog.text == ""


def test_an_upstream_is_an_address():
    assert origin_of("https://api.openai.com/v1/") == "https://api.openai.com"
    assert origin_of("http://[::1]:8000/v1") == "http://[::1]:8000"
    for wrong in (
        "",
        "localhost:8000",
        "ftp://a",
        "http://",
        "http://a:b",
        "http://a?x",
    ):
        with pytest.raises(ConfigError, match="expected the address of an OpenAI-"):
            origin_of(wrong)
    for secret in ("https://me:word@a/v1", "https://me:word@a/v1?x", "me:word@a:b"):
        with pytest.raises(ConfigError, match="holds a user or password") as error:
            origin_of(secret)
        assert "word" not in str(error.value).replace("password", "")


def test_no_depth_of_a_body_is_a_failure():
    deepest = 0
    for depth in range(900, 1010):
        nested = f'"x": {"[" * depth + "]" * depth}'
        body = json.dumps(chat(jpeg())).replace("{", "{" + nested + ", ", 1).encode()
        try:
            Asked(body, "messages").with_prompt(PROMPT, {}, 10**6)
            deepest = depth
        except Refused as refused:
            assert "nested too deeply" in str(refused)
    assert deepest > 900


def test_a_number_that_json_cannot_carry_is_refused():
    body = json.dumps(chat(jpeg())).replace("{", '{"top_p": 1e400, ', 1).encode()
    asked = Asked(body, "messages")
    with pytest.raises(Refused, match="a number that is too large"):
        asked.with_prompt(PROMPT, {}, 10**6)


def test_pictures_in_a_body_are_replaced_and_nothing_else():
    url = jpeg()
    body = chat(url, url)
    body["metadata"] = {"content": [{"type": "image_url", "image_url": {"url": url}}]}
    body["messages"][0]["content"][1]["image_url"] = url  # as some clients write it
    outcome = Asked(json.dumps(body).encode(), "messages").with_prompt(
        PROMPT, {}, 10**6
    )
    arrived = json.loads(outcome.content)
    content = arrived["messages"][0]["content"]
    for one in (content[1]["image_url"], content[2]["image_url"]["url"]):
        assert np.array_equal(pixels(one), prompted(PROMPT, url))
    content[1]["image_url"] = content[2]["image_url"]["url"] = url
    assert arrived == body and list(arrived) == list(body)
    assert outcome.prompted == 2
