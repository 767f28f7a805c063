"""Which headers travel through the recorder, and what is kept of the caller's key.

Everything travels in its order and spelling except what RFC 9110 (7.6.1) says belongs to one connection, `Host` (the
upstream's own name is sent) and `Expect` (answered here). Keys are never kept, only the beginning of their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

RawHeaders = Iterable[tuple[bytes, bytes]]

_OF_ONE_CONNECTION = frozenset(
    {
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
)
_OF_THE_CALLER = frozenset({b"host", b"expect"})
_KEYS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_KEPT_OF_THE_HASH = 16


def onward(headers: RawHeaders) -> list[tuple[str, str]]:
    """The caller's headers as the upstream gets them."""
    return _travelling(headers, _OF_ONE_CONNECTION | _OF_THE_CALLER)


def back(headers: RawHeaders) -> list[tuple[str, str]]:
    """The upstream's headers as the caller gets them."""
    return _travelling(headers, _OF_ONE_CONNECTION)


def hashed_key(headers: Mapping[str, str]) -> str | None:
    """`sha256:` and 16 hexadecimal digits of the caller's API key; None when there is none."""
    for name in _KEYS:
        value = headers.get(name, "")
        key = value.partition(" ")[2].strip() if value[:7].lower() == "bearer " else value.strip()
        if key:
            digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
            return f"sha256:{digest[:_KEPT_OF_THE_HASH]}"
    return None


def _travelling(headers: RawHeaders, stays: frozenset[bytes]) -> list[tuple[str, str]]:
    """Bytes that are no UTF-8 are written by no HTTP library as they are; they are left out of a value."""
    listed = list(headers)
    named = {
        name.strip().lower()
        for header, value in listed
        if header.lower() == b"connection"
        for name in value.split(b",")
    } - {b"close"}
    return [
        (header.decode("utf-8", "ignore"), value.decode("utf-8", "ignore"))
        for header, value in listed
        if header.lower() not in stays and header.lower() not in named
    ]
