"""A compressed request body as it was before: gzip and deflate (RFC 9110 section 8.4.1), never more than a limit.

Memory is bounded by the limit whatever the body claims; a body that unpacks to more is refused as soon as it does.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from exporter.vendor.push.refusal import BadBody, TooLarge, TooMuch, UnknownCoding

CODINGS = ("gzip", "deflate")
"""What may stand in Content-Encoding."""

_STEP_BYTES = 65_536
_MOST_MEMBERS = 10_000
_GZIP, _ZLIB, _RAW = 31, 15, -15
_GZIP_MAGIC = b"\x1f\x8b"


class _Engine(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpack(body: bytes | bytearray, coding: str, limit: int) -> bytes | bytearray:
    """The body without its Content-Encoding. gzip is known by its first bytes too, for senders that do not say it.

    Raises UnknownCoding; TooLarge beyond `limit` bytes; BadBody when it cannot be unpacked.
    """
    name = coding.strip().lower()
    if name in ("gzip", "x-gzip") or (name in ("", "identity") and body.startswith(_GZIP_MAGIC)):
        return _inflate(body, _GZIP, "gzip", limit)
    if name in ("", "identity"):
        return body
    if name == "deflate":
        return _inflate(body, _ZLIB if _has_zlib_head(body) else _RAW, "deflate", limit)
    raise UnknownCoding(f"this Content-Encoding is not understood here; send {' or '.join(CODINGS)}, or none")


def _has_zlib_head(body: bytes | bytearray) -> bool:
    """RFC 1950; some senders leave the head out although RFC 9110 asks for it."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _inflate(body: bytes | bytearray, window: int, name: str, limit: int) -> bytearray:
    """All members of a compressed body, one after another."""
    out, position, members = bytearray(), 0, 0
    while position < len(body) and (
        members == 0 or body[position]
    ):  # zeros behind the last member are padding
        members += 1
        if members > _MOST_MEMBERS:
            raise TooMuch(f"the {name} body has more than {_MOST_MEMBERS} members")
        position = _member(body, position, zlib.decompressobj(window), name, limit, out)
    return out


def _member(
    body: bytes | bytearray, position: int, engine: _Engine, name: str, limit: int, out: bytearray
) -> int:
    """Unpack one member into `out`; returns where the next one begins."""
    while not engine.eof:
        piece = bytes(body[position : position + _STEP_BYTES])
        if not piece:
            raise BadBody(f"the {name} body ends too early")
        try:
            out += engine.decompress(piece, limit + 1 - len(out))
        except zlib.error:
            raise BadBody(f"the body is not valid {name}") from None
        if len(out) > limit:
            raise TooLarge(f"the body unpacks to more than {limit} bytes")
        position += len(piece)
    return position - len(engine.unused_data)
