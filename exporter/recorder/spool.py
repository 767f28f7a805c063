"""Records that wait on disk while the exporter is away: JSON Lines in numbered files, mode 0600, bounded.

They hold texts, so a file is deleted as soon as the exporter has taken it. A line is written whole or not at all: what
a full disk left behind is cut off again.
"""

from __future__ import annotations

import os
from pathlib import Path

FILE_BYTES = 4 * 2**20
"""A file is closed at this size; one file is sent at a time."""


class Full(OSError):
    """The spool holds as much as it may."""


class Spool:
    """The folder. One process at a time; what a process before left there is sent first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sizes = {path: path.stat().st_size for path in sorted(folder.glob("*.jsonl"))}
        self._last_number = max((int(path.stem) for path in self._sizes if path.stem.isdecimal()), default=0)
        self._open: Path | None = None

    @property
    def size_bytes(self) -> int:
        """What waits."""
        return sum(self._sizes.values())

    def add(self, lines: bytes) -> None:
        """Keep whole lines. Raises Full, or OSError as the disk gives it; then nothing of them is kept."""
        if self.size_bytes + len(lines) > self._limit_bytes:
            raise Full("the spool holds as much as it may")
        if self._open is None or self._sizes[self._open] + len(lines) > FILE_BYTES:
            self._last_number += 1
            self._open = self._folder / f"{self._last_number:012d}.jsonl"
            self._sizes[self._open] = 0
        self._sizes[self._open] = append(self._open, lines)

    def oldest(self) -> tuple[Path, bytes] | None:
        """The file to send next and its lines; None when nothing waits. Raises OSError."""
        for path, size in list(self._sizes.items()):
            if size:
                return path, path.read_bytes()
            self.done(path)
        return None

    def done(self, path: Path) -> None:
        """The exporter has taken this file."""
        path.unlink(missing_ok=True)
        self._sizes.pop(path, None)
        self._open = None if path == self._open else self._open


def append(path: Path, lines: bytes) -> int:
    """Write whole lines to the end of a file of mode 0600 and return its size. Raises OSError; then it is as before."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before = os.fstat(handle).st_size
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError:
            os.ftruncate(handle, before)
            raise
        return before + len(lines)
    finally:
        os.close(handle)
