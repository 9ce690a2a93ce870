"""Pictures from addresses that a client names, fetched from the public internet and nowhere else.

Whoever may name an address to a server can make it ask what only the server reaches: routers,
databases, a cloud's keys at 169.254.169.254. So a name is resolved once, every address behind it
must be public, and the connection goes to the very address that was checked: a name that means
something else a moment later (DNS rebinding) gains nothing. The check sits where connections are
made, so that redirects pass it like any other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network

import httpcore2
import httpx2

from matboard.errors import ImageError, PictureTooLarge, first_line, shown

MOST_BYTES = 20 * 2**20
"""Of a picture's file (guess)."""
SECONDS = 10.0
"""For a picture, from the name to the last byte (guess)."""
REDIRECTS = 3
"""Followed on the way to a picture (guess)."""
AT_ONCE = 16
"""Connections (guess)."""
HEADERS = [(b"Accept", b"image/*"), (b"User-Agent", b"matboard")]
"""All that a stranger's server is told; nothing of the client's."""
_BROKEN = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)
_MOVED = (301, 302, 303, 307, 308)
_GLOBAL_UNICAST = ip_network("2000::/3")


class Fetcher:
    """Fetches pictures.

    Args:
        allowed: whether an address of the Internet Protocol may be connected to.
    """

    def __init__(self, allowed: Callable[[str], bool] | None = None) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=_Checked(allowed or is_public),
            max_connections=AT_ONCE,
            keepalive_expiry=SECONDS,
        )

    async def fetch(self, url: str) -> bytes | ImageError:
        """The file at an address, or why there is none."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._followed(url)
        except ImageError as error:
            return error
        except TimeoutError:
            reason = f"it took more than {SECONDS:g} s"
        except (httpx2.InvalidURL, UnicodeError):
            reason = "that is no address"
        except (*_BROKEN, OSError) as error:
            reason = first_line(error)
        return _unfetched(url, reason)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _followed(self, url: str) -> bytes:
        """The file, wherever the address leads. Raises ImageError."""
        place = httpx2.URL(url)
        for _ in range(REDIRECTS + 1):
            if (
                place.scheme not in ("http", "https")
                or not place.host
                or place.userinfo
            ):
                raise _unfetched(url, "it leads to an address of another kind")
            where = httpcore2.URL(
                scheme=place.raw_scheme,
                host=place.raw_host,
                port=place.port,
                target=place.raw_path,
            )
            headers = [(b"Host", place.netloc), *HEADERS]
            async with self._pool.stream("GET", where, headers=headers) as reply:
                if reply.status == 200:
                    return await _read(url, reply)
                told = {name.lower(): value for name, value in reply.headers}
            if reply.status not in _MOVED or b"location" not in told:
                raise _unfetched(url, f"status {reply.status}")
            place = place.join(told[b"location"].decode("latin-1"))
        raise _unfetched(url, f"more than {REDIRECTS} redirects")


def is_public(address: str) -> bool:
    """Whether an address of the Internet Protocol is one that anybody on the internet reaches: not
    private, loopback, link-local, multicast or reserved, nor an IPv6 address that carries an IPv4
    one (mapped, 6to4, Teredo, NAT64).
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        carries = found.sixtofour or found.teredo
        if carries or found.scope_id or found not in _GLOBAL_UNICAST:
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


class _Checked(httpcore2.AnyIOBackend):
    """Connects to addresses that are allowed."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """See `httpcore2.AsyncNetworkBackend.connect_tcp`. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(one[4][0]) for one in found]
        if not addresses or not all(map(self._allowed, addresses)):
            raise OSError(f"{host} is not on the public internet")
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError):
                return await super().connect_tcp(address, port, timeout)
        return await super().connect_tcp(addresses[-1], port, timeout)


async def _read(url: str, reply: httpcore2.Response) -> bytes:
    """A reply's body, of bounded size. Raises PictureTooLarge."""
    content = bytearray()
    async for part in reply.aiter_stream():
        content += part
        if len(content) > MOST_BYTES:
            raise PictureTooLarge(
                f"The picture at {shown(url, 60)} has more than {MOST_BYTES} bytes, the most that"
                " are fetched."
            )
    return bytes(content)


def _unfetched(url: str, reason: str) -> ImageError:
    return ImageError(f"It is at {shown(url, 60)} and was not fetched ({reason}).")
