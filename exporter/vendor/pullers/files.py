"""Vendor records out of a growing file: JSON Lines, one JSON array or one JSON object, plain or gzip.

`read_file` is a function of a path and the position the last read returned, which the state keeps as opaque text. It
reads whole lines only (a half-written last line waits for its end), starts over when the file was replaced or cut, and
names a bad record by its place while keeping the rest. Reading a line twice is harmless: `(source, id)` is idempotent.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from exporter.errors import Unreachable
from exporter.vendor.adapters import ADAPTERS, Adapter
from exporter.vendor.pullers.base import Refused
from exporter.vendor.record import BadRecord, VendorCall, parse

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is set aside: no request body is that long, and it would have to be held in memory."""

_HEAD_BYTES = 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileRead:
    """What one read found. `position` equals the one given when nothing was there to read; `is_cut_short` says that the
    last line has no end yet and was left for the next read."""

    records: tuple[VendorCall, ...]
    refused: tuple[Refused, ...]
    position: str
    is_cut_short: bool = False


@dataclass(frozen=True, slots=True)
class _Position:
    """Where to go on: bytes and lines passed (of the uncompressed text), and what tells the same file again.

    `is_done`: nothing more is to be read until the file changes.
    """

    offset: int = 0
    line: int = 0
    inode: int = 0
    size: int = 0
    changed_ns: int = 0
    head_bytes: int = 0
    head: str = ""
    is_done: bool = False

    def text(self) -> str:
        return json.dumps(asdict(self))

    def is_of(self, stat: os.stat_result) -> bool:
        return (self.inode, self.size, self.changed_ns) == (stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read so far of one call to `read_file`."""

    source: str
    adapter: Adapter
    records: list[VendorCall]
    refused: list[Refused]

    def keep(self, value: object, place: str) -> None:
        for entry in self.adapter(value):
            try:
                self.records.append(parse(entry, self.source))
            except BadRecord as problem:
                self.refused.append(Refused(place, str(problem)))

    def result(self, position: _Position, *, is_cut_short: bool = False) -> FileRead:
        return FileRead(tuple(self.records), tuple(self.refused), position.text(), is_cut_short)


def read_file(
    path: Path, position: str | None = None, *, source: str, format: str = "generic", limit: int = 5_000
) -> FileRead:
    """The records behind `position` (None: from the start), about `limit` of them at a time.

    Raises Unreachable when the file cannot be read, KeyError for an unknown format.
    """
    found = _Found(source, ADAPTERS[format], [], [])
    known = _Position(**json.loads(position)) if position else None
    try:
        with path.open("rb") as raw:
            stat = os.fstat(raw.fileno())
            if known and known.is_done and known.is_of(stat):
                return found.result(known)
            text = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
            return _read_text(text, _resume(text, stat, known), found, limit)
    except (OSError, EOFError, zlib.error) as problem:
        raise Unreachable(
            f"reading vendor evidence from {path.name} failed: {type(problem).__name__}",
            f"check that {path} exists, is complete and may be read",
        ) from problem


def _resume(text: BinaryIO, stat: os.stat_result, known: _Position | None) -> _Position:
    """The old position in the file as it is now; the start when it is another file (rotated) or was cut."""
    text.seek(0)
    head = text.read(_HEAD_BYTES)
    now = _Position(
        inode=stat.st_ino,
        size=stat.st_size,
        changed_ns=stat.st_mtime_ns,
        head_bytes=len(head),
        head=hashlib.sha256(head).hexdigest(),
    )
    if known is None or known.inode != stat.st_ino:
        return now
    if hashlib.sha256(head[: known.head_bytes]).hexdigest() != known.head:
        return now
    if text.seek(0, os.SEEK_END) < known.offset:
        return now
    return replace(now, offset=known.offset, line=known.line)


def _read_text(text: BinaryIO, start: _Position, found: _Found, limit: int) -> FileRead:
    text.seek(0)
    opening = text.readline(MAX_LINE_BYTES).removeprefix(_BYTE_ORDER_MARK).strip()
    if opening.startswith(b"["):
        return _read_document(text, start, found)
    if start.offset == 0 and opening.startswith(b"{") and not _is_json(opening) and _is_one_object(text):
        return _read_document(text, start, found)
    text.seek(start.offset)
    return _read_lines(text, start, found, limit)


def _is_one_object(text: BinaryIO) -> bool:
    """Whether the file is one object written over several lines."""
    text.seek(0)
    return _is_json(text.read())


def _read_document(text: BinaryIO, start: _Position, found: _Found) -> FileRead:
    """One JSON value that fills the file; read again as a whole whenever the file changes."""
    text.seek(0)
    body = text.read()
    done = replace(start, offset=0, line=0, is_done=True)
    try:
        value = _loads(body)
    except ValueError:
        found.refused.append(Refused("entry 1", "the JSON array is not valid, or not complete yet"))
        return found.result(done, is_cut_short=True)
    for number, entry in enumerate(value if isinstance(value, list) else [value], start=1):
        found.keep(entry, f"entry {number}")
    return found.result(done)


def _read_lines(text: BinaryIO, start: _Position, found: _Found, limit: int) -> FileRead:
    offset, number = start.offset, start.line
    while len(found.records) + len(found.refused) < limit:
        line = text.readline(MAX_LINE_BYTES)
        is_whole, is_too_long = line.endswith(b"\n"), len(line) >= MAX_LINE_BYTES
        if not line or not (is_whole or is_too_long or _is_json(line)):
            done = replace(start, offset=offset, line=number, is_done=True)
            return found.result(done, is_cut_short=bool(line))
        if is_too_long and not is_whole:
            found.refused.append(
                Refused(f"line {number + 1}", f"the line is longer than {MAX_LINE_BYTES} bytes")
            )
            offset, is_whole = offset + _skip_line(text), True
        else:
            _keep_line(line, f"line {number + 1}", found)
        offset += len(line)
        number += is_whole
    return found.result(replace(start, offset=offset, line=number))


def _skip_line(text: BinaryIO) -> int:
    """Pass the rest of a line; returns its bytes."""
    passed = 0
    while piece := text.readline(MAX_LINE_BYTES):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _keep_line(line: bytes, place: str, found: _Found) -> None:
    if not line.removeprefix(_BYTE_ORDER_MARK).strip():
        return
    try:
        value = _loads(line)
    except ValueError:
        found.refused.append(Refused(place, "not valid JSON"))
        return
    found.keep(value, place)


def _is_json(body: bytes) -> bool:
    try:
        _loads(body)
    except ValueError:
        return False
    return True


def _loads(body: bytes) -> object:
    """JSON with the strict parser first; the tolerant one for lone surrogates, which gateways make when they cut texts."""
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except ValueError:
        try:
            return json.loads(body, strict=False)
        except RecursionError:
            raise ValueError("nested too deeply") from None
