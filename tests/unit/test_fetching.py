"""Pictures from addresses: from the public internet alone, whatever a name or a server says."""

import asyncio
import base64
import socket
import time

import httpx2
import numpy as np
import pytest
from upstream import (
    Reply,
    chat,
    picture,
    pixels,
    prompt,
    prompted,
    proxied,
    upstream,
    url_of,
)

from matboard.images import to_data_url
from matboard.serving import fetching
from matboard.serving.fetching import Fetcher, is_public
from matboard.serving.pictures import Prompts

PROMPT = prompt()
PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
"""In these tests the first counts as an address of the public internet."""


def png(seed=0):
    """A picture's file."""
    return base64.b64decode(to_data_url(picture(seed)).partition(",")[2])


def fetched(url, allowed=PUBLIC.__eq__):
    """What a fetcher makes of an address."""

    async def fetch():
        fetcher = Fetcher(allowed)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(fetch())


def refused(url, reason, **options):
    said = str(fetched(url, **options))
    assert reason in said and said.endswith(").") and "\n" not in said, said


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", False),
        ("64:ff9b::7f00:1", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
    ],
)
def test_what_is_public(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_this_machine_is_not_asked_however_it_is_called(host):
    with upstream() as server:
        url = f"http://{host}:{server.server_address[1]}/a.png"
        refused(url, "is not on the public internet", allowed=None)
    assert server.came == []


def test_a_picture_is_fetched_and_its_server_told_nothing():
    with upstream(lambda came: Reply(png())) as server:
        assert fetched(f"{server.origin}/a%20b.png?x=1#part") == png()
    (one,) = server.came
    assert one.target == "/a%20b.png?x=1"
    assert dict(one.headers) == {
        "Host": server.origin.removeprefix("http://"),
        "Accept": "image/*",
        "User-Agent": "matboard",
    }


def test_a_name_is_resolved_once_and_the_checked_address_asked(monkeypatch):
    answers = [[PUBLIC], [PRIVATE]]  # what the same name means, time after time
    asked = []
    real = socket.getaddrinfo

    def resolve(host, port, *rest, **options):
        if host not in (b"changing.example", "changing.example"):
            return real(host, port, *rest, **options)
        asked.append(host)
        found = answers.pop(0)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with upstream(lambda came: Reply(png())) as server:
        url = f"http://changing.example:{server.server_address[1]}/a.png"
        assert fetched(url) == png() and len(asked) == 1
        refused(url, "is not on the public internet")
        answers.append([PUBLIC, PRIVATE])  # one wrong address is enough
        refused(url, "is not on the public internet")
    assert len(server.came) == 1


def test_redirects_are_followed_but_not_inside():
    ways = {"/once": "/a.png", "/for-ever": "/for-ever", "/lost": None}

    def script(came):
        if came.target == "/a.png":
            return Reply(png())
        way = ways[came.target]
        return Reply(b"", 302, [("Location", way)] if way else [])

    with upstream(script) as server, upstream(host=PRIVATE) as inside:
        ways["/inside"] = f"{inside.origin}/a.png"
        ways["/file"] = "file:///etc/passwd"
        ways["/user"] = server.origin.replace("://", "://me:word@") + "/a.png"
        assert fetched(f"{server.origin}/once") == png()
        refused(f"{server.origin}/inside", "127.0.0.2 is not on the public internet")
        refused(f"{server.origin}/file", "leads to an address of another kind")
        refused(f"{server.origin}/user", "leads to an address of another kind")
        refused(f"{server.origin}/for-ever", "more than 3 redirects")
        refused(f"{server.origin}/lost", "status 302")
    assert inside.came == []


def test_what_does_not_come_is_said(monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 1)

    def drip():
        while True:
            yield b"x"
            time.sleep(0.2)

    def script(came):
        if came.target == "/slow":
            return Reply(drip())
        return Reply(b"", 404)

    with upstream(script) as server:
        refused(f"{server.origin}/none", "status 404")
        refused(f"{server.origin}/slow", "it took more than 1 s")
    refused(server.origin, "was not fetched (")  # nobody there
    refused("http://", "it leads to an address of another kind")
    refused("http://a:b/", "that is no address")
    refused("http://nowhere.invalid/", "was not fetched (")


def test_through_the_proxy(monkeypatch):
    monkeypatch.setattr(fetching, "MOST_BYTES", 10_000)

    def script(came):
        files = {"/a.png": png(), "/b.txt": b"text", "/c.png": b"x" * 10_001}
        return Reply(files.get(came.target.partition("?")[0], Reply().body))

    with (
        upstream(script) as server,
        proxied(
            Prompts(PROMPT), server.origin, fetcher=Fetcher(PUBLIC.__eq__)
        ) as origin,
    ):
        there = server.origin
        body = chat(f"{there}/a.png?key=k", f"{there}/b.txt", f"http://{PRIVATE}/x")
        said = httpx2.post(
            f"{origin}/v1/chat/completions",
            json=body,
            headers={"authorization": "Bearer sk-secret", "cookie": "a=1"},
        )
        came = next(one for one in server.came if one.method == "POST")
        expected = prompted(PROMPT, to_data_url(picture()))
        assert np.array_equal(pixels(url_of(came)), expected)
        assert url_of(came, 2) == f"{there}/b.txt"
        assert url_of(came, 3) == f"http://{PRIVATE}/x"
        assert said.headers["matboard-prompted"] == "1"
        assert said.headers["matboard-warning"].startswith(
            "2 untouched: messages.0.con"
        )
        for one in server.came:
            assert bool(one.header("authorization")) == (one.method == "POST")
            assert bool(one.header("cookie")) == (one.method == "POST")
        large = httpx2.post(
            f"{origin}/v1/chat/completions", json=chat(f"{there}/c.png")
        )
    assert large.status_code == 400
    assert "more than 10000 bytes" in large.json()["error"]["message"]
