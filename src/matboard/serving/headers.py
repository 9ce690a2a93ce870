"""Headers that a proxy passes on, and those that belong to one connection (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]
"""Names and values, as they came and in their order."""
HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}


def passed_on(headers: Iterable[tuple[bytes, bytes]], *but: bytes) -> Headers:
    """Headers without those that belong to one connection, nor ``but``."""
    given = list(headers)
    named = [value for name, value in given if name.lower() == b"connection"]
    own = {one.strip().lower() for value in named for one in value.split(b",")}
    left_out = HOP_BY_HOP | own | set(but)
    return [(name, value) for name, value in given if name.lower() not in left_out]
