"""The JSON events in a streamed body: Server-Sent Events, JSON Lines, or one JSON value.

Takes whole texts and pieces of bytes as they come off the wire; what is not JSON (comments, `[DONE]`, a line that was
cut) is left out. A line longer than `LONGEST_LINE` bytes is left out too, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

LONGEST_LINE = 8 * 2**20
"""Bytes; a picture in one event fits, an endless line does not."""


@dataclass(slots=True)
class EventSplitter:
    """Turns pieces of a streamed body into its events. `is_done`: the stream said `[DONE]`."""

    is_done: bool = False
    _rest: bytearray = field(default_factory=bytearray)
    _skips: bool = False

    def feed(self, piece: bytes) -> Iterator[object]:
        """The events that are complete with this piece."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._hold(line)
            yield from self._line()
        self._hold(rest)

    def close(self) -> Iterator[object]:
        """The event of a last line without a line end."""
        yield from self._line()

    def _hold(self, part: bytes) -> None:
        if len(self._rest) + len(part) > LONGEST_LINE:
            self._skips = True
            self._rest.clear()
        if not self._skips:
            self._rest += part

    def _line(self) -> Iterator[object]:
        line, self._skips = bytes(self._rest), False
        self._rest.clear()
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            self.is_done = True
        elif data[:1] in (b"{", b"["):
            try:
                yield orjson.loads(data)
            except orjson.JSONDecodeError:
                return


def events_of(body: str) -> Iterator[object]:
    """The events of a whole body: one JSON value, or the lines of a stream."""
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        splitter = EventSplitter()
        yield from splitter.feed(body.encode("utf-8", "replace"))
        yield from splitter.close()
    else:
        yield value
