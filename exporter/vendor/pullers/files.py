"""Vendor records out of a growing file: JSON Lines, one JSON array or one JSON object, plain or gzip.

`read_file` is a function of a path and the position the last read returned, which is opaque text. It reads whole lines
only (a half-written last line waits for its end), starts over when the file was replaced or cut, and names a bad record
by its place while keeping the rest. Files that were moved away by rotation are the business of `tail`.
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
from zoneinfo import ZoneInfo

from exporter.errors import Unreachable
from exporter.model import Micros
from exporter.vendor.adapters import ADAPTERS
from exporter.vendor.pullers.base import Refused
from exporter.vendor.pullers.rows import BYTE_ORDER_MARK, Found, loads
from exporter.vendor.record import VendorCall

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is set aside: no request body is that long, and it would have to be held in memory."""

_HEAD_BYTES = 1024
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class FileRead:
    """What one read found. `position` equals the one given when nothing was there to read; `is_cut_short` says that the
    last line has no end yet and was left for the next read; `is_at_end`, that all the rest was read."""

    records: tuple[VendorCall, ...]
    refused: tuple[Refused, ...]
    position: str
    is_cut_short: bool = False
    is_at_end: bool = True


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


def read_file(
    path: Path,
    position: str | None = None,
    *,
    source: str,
    format: str = "generic",
    limit: int = 5_000,
    zone: ZoneInfo | None = None,
    since: Micros | None = None,
) -> FileRead:
    """The records behind `position` (None: from the start), about `limit` of them at a time.

    `zone` is that of times written without one (None: UTC); records that ended before `since` are left out. Raises
    Unreachable when the file cannot be read, KeyError for an unknown format.
    """
    found = Found(source, ADAPTERS[format], zone, since)
    known = _Position(**json.loads(position)) if position else None
    try:
        with path.open("rb") as raw:
            stat = os.fstat(raw.fileno())
            if known and known.is_done and known.is_of(stat):
                return _result(found, known)
            text = _text_of(raw)
            return _read_text(text, _resume(text, stat, known), found, limit)
    except (OSError, EOFError, zlib.error) as problem:
        raise Unreachable(
            f"reading vendor evidence from {path.name} failed: {type(problem).__name__}",
            f"check that {path} exists, is complete and may be read",
        ) from problem


def is_empty(position: str) -> bool:
    """Whether the file of a position held nothing when it was read."""
    return _Position(**json.loads(position)).head_bytes == 0


def position_in(path: Path, position: str) -> str | None:
    """`position` for the file at `path`, when that is the file it was taken in, moved, copied or compressed since.

    The same file begins with the same bytes and reaches as far; where nothing had been in it, its inode tells. None when
    it is another file or cannot be read.
    """
    known = _Position(**json.loads(position))
    try:
        with path.open("rb") as raw:
            stat = os.fstat(raw.fileno())
            if known.is_of(stat) or not known.head_bytes:
                return position if stat.st_ino == known.inode else None
            text = _text_of(raw)
            is_same = _digest(text.read(known.head_bytes)) == known.head
            if not is_same or text.seek(0, os.SEEK_END) < known.offset:
                return None
    except (OSError, EOFError, zlib.error):
        return None
    is_moved = stat.st_ino == known.inode
    return position if is_moved else replace(known, inode=stat.st_ino, is_done=False).text()


def is_in_place(path: Path, position: str) -> bool:
    """Whether the file at `path` is the very one that `position` was taken in, and was not cut since."""
    return position_in(path, position) == position


def file_known(position: str) -> tuple[int, int]:
    """The inode of the file that `position` was taken in, and when it had last changed then, in nanoseconds."""
    known = _Position(**json.loads(position))
    return known.inode, known.changed_ns


def _text_of(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(len(_GZIP_MAGIC))
    raw.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if magic == _GZIP_MAGIC else raw


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


def _result(found: Found, to: _Position, *, is_cut_short: bool = False, is_at_end: bool = True) -> FileRead:
    return FileRead(tuple(found.records), tuple(found.refused), to.text(), is_cut_short, is_at_end)


def _resume(text: BinaryIO, stat: os.stat_result, known: _Position | None) -> _Position:
    """The old position in the file as it is now; the start when it is another file (rotated) or was cut."""
    text.seek(0)
    head = text.read(_HEAD_BYTES)
    now = _Position(
        inode=stat.st_ino,
        size=stat.st_size,
        changed_ns=stat.st_mtime_ns,
        head_bytes=len(head),
        head=_digest(head),
    )
    if known is None or known.inode != stat.st_ino:
        return now
    if _digest(head[: known.head_bytes]) != known.head:
        return now
    if text.seek(0, os.SEEK_END) < known.offset:
        return now
    return replace(now, offset=known.offset, line=known.line)


def _read_text(text: BinaryIO, start: _Position, found: Found, limit: int) -> FileRead:
    text.seek(0)
    opening = text.readline(MAX_LINE_BYTES).removeprefix(BYTE_ORDER_MARK).strip()
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


def _read_document(text: BinaryIO, start: _Position, found: Found) -> FileRead:
    """One JSON value that fills the file; read again as a whole whenever the file changes."""
    text.seek(0)
    body = text.read()
    done = replace(start, offset=0, line=0, is_done=True)
    try:
        value = loads(body)
    except ValueError:
        found.refused.append(Refused("entry 1", "the JSON array is not valid, or not complete yet"))
        return _result(found, done, is_cut_short=True)
    for number, entry in enumerate(value if isinstance(value, list) else [value], start=1):
        found.keep(entry, f"entry {number}")
    return _result(found, done)


def _read_lines(text: BinaryIO, start: _Position, found: Found, limit: int) -> FileRead:
    offset, number = start.offset, start.line
    while found.count < limit:
        line = text.readline(MAX_LINE_BYTES)
        is_whole, is_too_long = line.endswith(b"\n"), len(line) >= MAX_LINE_BYTES
        if not line or not (is_whole or is_too_long or _is_json(line)):
            done = replace(start, offset=offset, line=number, is_done=True)
            return _result(found, done, is_cut_short=bool(line))
        if is_too_long and not is_whole:
            found.refused.append(
                Refused(f"line {number + 1}", f"the line is longer than {MAX_LINE_BYTES} bytes")
            )
            offset, is_whole = offset + skip_line(text), True
        else:
            _keep_line(line, f"line {number + 1}", found)
        offset += len(line)
        number += is_whole
    return _result(found, replace(start, offset=offset, line=number), is_at_end=False)


def skip_line(text: BinaryIO) -> int:
    """Pass the rest of a line; returns its bytes."""
    passed = 0
    while piece := text.readline(MAX_LINE_BYTES):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _keep_line(line: bytes, place: str, found: Found) -> None:
    if not line.removeprefix(BYTE_ORDER_MARK).strip():
        return
    try:
        value = loads(line)
    except ValueError:
        found.refused.append(Refused(place, "not valid JSON"))
        return
    found.keep(value, place)


def _is_json(body: bytes) -> bool:
    try:
        loads(body)
    except ValueError:
        return False
    return True
