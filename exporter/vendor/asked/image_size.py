"""The size of a picture from the first bytes of its file: PNG, JPEG, WebP and GIF.

Pure, bounded, never raises; reads no more than a header and decodes no picture.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable

HEADER_CHARS = 64
"""Base64 characters that hold the size in a PNG, WebP or GIF file."""

JPEG_CHARS = 512 * 1024
"""Base64 characters of a JPEG file that are searched; its size comes after thumbnails and colour profiles."""

Size = tuple[int, int]
"""Width and height in pixels."""

_STANDARD = str.maketrans("-_", "+/")


def size_of(encoded: str) -> Size | None:
    """Width and height of a picture given in base64 (plain or URL-safe), None where they cannot be told."""
    start = _decoded(encoded[:HEADER_CHARS])
    if start[:2] == b"\xff\xd8":
        return _jpeg(_decoded(encoded[:JPEG_CHARS]))
    for magic, place, read in _FORMATS:
        if start[place : place + len(magic)] == magic:
            return read(start)
    return None


def _decoded(encoded: str) -> bytes:
    try:
        return b64decode(encoded[: len(encoded) // 4 * 4].translate(_STANDARD))
    except (binascii.Error, ValueError):
        return b""


def _big(data: bytes, place: int, length: int) -> int:
    return int.from_bytes(data[place : place + length], "big")


def _little(data: bytes, place: int, length: int) -> int:
    return int.from_bytes(data[place : place + length], "little")


def _png(data: bytes) -> Size | None:
    return (_big(data, 16, 4), _big(data, 20, 4)) if data[12:16] == b"IHDR" and len(data) >= 24 else None


def _gif(data: bytes) -> Size | None:
    return (_little(data, 6, 2), _little(data, 8, 2)) if len(data) >= 10 else None


def _webp(data: bytes) -> Size | None:
    if len(data) < 30:
        return None
    match data[12:16]:
        case b"VP8X":
            return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
        case b"VP8L":
            bits = _little(data, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    return None


def _jpeg(data: bytes) -> Size | None:
    """The first frame header (SOF0 to SOF15 without DHT, JPG and DAC)."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(data, place + 7, 2), _big(data, place + 5, 2)
        else:
            place += 2 + max(2, _big(data, place + 2, 2))
    return None


_FORMATS: tuple[tuple[bytes, int, Callable[[bytes], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"GIF8", 0, _gif),
    (b"WEBP", 8, _webp),
)
