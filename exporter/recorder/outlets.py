"""The two ways out for records: a growing file, or the exporter's push intake with a spool while it is away.

An outlet either has the lines safe when `keep` returns (written, or taken by the exporter) or raises OSError and has
kept none; it may then be given them again, because `(source, id)` is idempotent on the other side.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import orjson
import requests

from exporter.recorder import telling
from exporter.recorder.spool import Spool, append

INTAKE_PATH = "/v1/vendor-calls/generic"
_CONNECT_SECONDS, _ANSWER_SECONDS = 3.0, 20.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_REPEATED_SECONDS = 120.0
_TEXTS = ("request", "response_text", "tool_calls")


class FileOutlet:
    """Appends to a file of mode 0600. The lines hold texts.

    At its size limit the file becomes `<name>.1` and a new one takes its name at once, which begins with the lines of
    the last two minutes, so that a reader who looks more often than that misses none.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path, self._limit_bytes = path, limit_bytes
        self._marks: deque[tuple[float, int]] = deque()
        self.counts: Counter[str] = Counter()
        self._cut_torn_line()

    spool_bytes = 0

    def keep(self, lines: Sequence[bytes]) -> None:
        """Write the lines. Raises OSError."""
        now = time.monotonic()
        while self._marks and self._marks[0][0] < now - _REPEATED_SECONDS:
            self._marks.popleft()
        joined = b"".join(lines)
        size = append(self._path, joined)
        self._marks.append((now, size - len(joined)))
        self.counts["written"] += len(lines)
        if size >= self._limit_bytes:
            self._begin_anew(self._marks[0][1], now)

    def tick(self) -> None:
        """Nothing waits here."""

    def _begin_anew(self, repeat_from: int, now: float) -> None:
        """A disk too full for the new file leaves the old one in use."""
        repeat_from = max(repeat_from, self._path.stat().st_size - self._limit_bytes // 2)
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            with self._path.open("rb") as old:
                old.seek(repeat_from)
                whole = (
                    old.read() if repeat_from in (0, self._marks[0][1]) else old.read().partition(b"\n")[2]
                )
            append(fresh, whole)
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            os.replace(fresh, self._path)
        except OSError as problem:
            telling.warning("file_not_begun_anew", error=type(problem).__name__)
            return
        self._marks = deque([(now, 0)])

    def _cut_torn_line(self) -> None:
        """A process that was killed may have left half a line."""
        if not self._path.exists():
            return
        with self._path.open("rb+") as file:
            end = at = file.seek(0, os.SEEK_END)
            while at > 0:
                start = max(0, at - 65536)
                file.seek(start)
                newline = file.read(at - start).rfind(b"\n")
                if newline >= 0:
                    at = start + newline + 1
                    break
                at = start
            if at < end:
                file.truncate(at)


class PushOutlet:
    """Posts to the exporter's intake; spools while that does not answer or does not let us in."""

    def __init__(self, address: str, token: str, spool: Spool) -> None:
        self._url, self._spool = address + INTAKE_PATH, spool
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Content-Type"] = "application/x-ndjson"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._again_at, self._pause = 0.0, 0.0
        self.counts: Counter[str] = Counter()

    @property
    def spool_bytes(self) -> int:
        """What waits on disk."""
        return self._spool.size_bytes

    def keep(self, lines: Sequence[bytes]) -> None:
        """Push the lines, or spool them. Raises OSError when both are impossible."""
        if time.monotonic() >= self._again_at and self._push(lines):
            self.tick()
            return
        self._spool.add(b"".join(lines))
        self.counts["spooled"] += len(lines)

    def tick(self) -> None:
        """Send one file of what waits, when the exporter may be back. Raises OSError."""
        if time.monotonic() < self._again_at:
            return
        waits = self._spool.oldest()
        if waits is None:
            return
        path, text = waits
        lines = text[: text.rfind(b"\n") + 1].splitlines(keepends=True)
        if not lines or self._push(lines):
            self._spool.done(path)

    def _push(self, lines: Sequence[bytes]) -> bool:
        """Whether the exporter has all of them now (or refused them for good)."""
        try:
            answer = self._session.post(
                self._url,
                data=b"".join(lines),
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                allow_redirects=False,
            )
        except requests.RequestException as problem:
            self._pause_after(type(problem).__name__)
            return False
        if 200 <= answer.status_code < 300:
            self._pause = self._again_at = 0.0
            self.counts["pushed"] += len(lines)
            return True
        if answer.status_code in (400, 413, 422):
            return self._push_apart(lines, is_too_large=answer.status_code == 413)
        self._pause_after(f"HTTP {answer.status_code}")
        return False

    def _push_apart(self, lines: Sequence[bytes], *, is_too_large: bool) -> bool:
        """Find the record that is refused; the others are kept. One that is too large goes without its texts; what is
        refused all the same is given up, and counted."""
        if len(lines) > 1:
            middle = len(lines) // 2
            return self._push(lines[:middle]) and self._push(lines[middle:])
        slim = _without_texts(lines[0]) if is_too_large else lines[0]
        if len(slim) < len(lines[0]):
            return self._push([slim])
        self.counts["refused"] += 1
        telling.warning("record_refused", size_bytes=len(slim))
        return True

    def _pause_after(self, reason: str) -> None:
        if not self._pause:
            telling.warning("exporter_away", reason=reason, note="records are spooled until it is back")
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._again_at = time.monotonic() + self._pause


def _without_texts(line: bytes) -> bytes:
    record = orjson.loads(line)
    return orjson.dumps({name: value for name, value in record.items() if name not in _TEXTS}) + b"\n"
