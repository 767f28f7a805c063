"""A body's bytes without their content encoding (gzip, deflate, br, zstd), never more than `LONGEST_TEXT` of them.

A body that was cut gives what its bytes hold. brotli and zstandard are used where they are installed.
"""

from __future__ import annotations

import importlib
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

LONGEST_TEXT = 64 * 2**20
"""Bytes; a small body may unpack to a thousand times its size, or to a million."""

_PIECE_BYTES = 64 * 2**10


class Undecodable(ValueError):
    """A body that cannot be unpacked; the text says why."""


def decoded(body: bytes | bytearray, encoding: str) -> bytes:
    """The body unpacked, its encodings undone in turn. Raises Undecodable."""
    text = bytes(body)
    for name in reversed([part.strip() for part in encoding.split(",")]):
        if name not in ("", "identity"):
            text = _unpacked(text, name)
    return text


def _unpacked(body: bytes, name: str) -> bytes:
    unpack = _UNPACKERS.get(name)
    if unpack is None:
        raise Undecodable("its content encoding is not known")
    found = bytearray()
    for piece in unpack(body):
        found += piece
        if len(found) > LONGEST_TEXT:
            raise Undecodable(f"it unpacks to more than {LONGEST_TEXT} bytes")
    return bytes(found)


def _gzip(body: bytes) -> Iterator[bytes]:
    return _zlib(body, wbits=31)


def _deflate(body: bytes) -> Iterator[bytes]:
    """Some servers send the bare stream without the zlib frame that RFC 9110 means; the first byte tells."""
    is_framed = body[:1] != b"" and body[0] & 0x0F == 8 and body[0] >> 4 <= 7
    return _zlib(body, wbits=15 if is_framed else -15)


def _zlib(body: bytes, wbits: int) -> Iterator[bytes]:
    reader = zlib.decompressobj(wbits=wbits)
    try:
        for at in range(0, len(body), _PIECE_BYTES):
            packed = body[at : at + _PIECE_BYTES]
            while packed:
                yield reader.decompress(packed, _PIECE_BYTES)
                packed = reader.unconsumed_tail
    except zlib.error:
        raise Undecodable("it is not what its content encoding says") from None


def _brotli(body: bytes) -> Iterator[bytes]:
    brotli = _module("brotli")
    reader = brotli.Decompressor()
    try:
        yield reader.process(body, output_buffer_limit=_PIECE_BYTES)
        while not reader.can_accept_more_data():
            yield reader.process(b"", output_buffer_limit=_PIECE_BYTES)
    except brotli.error:
        raise Undecodable("it is not what its content encoding says") from None


def _zstd(body: bytes) -> Iterator[bytes]:
    zstandard = _module("zstandard")
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            while piece := reader.read(_PIECE_BYTES):
                yield piece
    except zstandard.ZstdError:
        raise Undecodable("it is not what its content encoding says") from None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Undecodable(f"reading it needs the Python package {name}") from None


_UNPACKERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
