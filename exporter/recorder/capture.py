"""Copies of what passes, held aside within a limit: of one body its beginning and its end, of all bodies so many bytes.

Adding a piece costs an append and never waits. When the memory for all copies is used up, the middle of a body is let
go, so that the vendor's count at its end can still be read; only then a whole exchange is given up, and counted.
"""

from __future__ import annotations

from exporter.recorder.exchange import Body

LONGEST_HEAD = 8 * 2**20
"""Bytes of a body that are kept from its beginning."""
SHORT_HEAD = 64 * 2**10
"""The same when memory is short: enough for the first event of a stream, where Anthropic counts the input."""
LONGEST_TAIL = 64 * 2**10
"""Bytes that are kept from its end, where every vendor writes the usage."""


class Memory:
    """How many bytes all copies together may take."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    @property
    def is_full(self) -> bool:
        """Nothing more should be kept."""
        return self.used_bytes >= self.limit_bytes

    def take(self, size: int) -> None:
        """Count bytes that are held from now on."""
        self.used_bytes += size

    def give_back(self, size: int) -> None:
        """They are held no longer."""
        self.used_bytes -= size


class Copy:
    """The copy of one body while it passes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0
        self.encoding = ""

    @property
    def held_bytes(self) -> int:
        """What the copy takes of the memory."""
        return len(self._head) + len(self._tail)

    def add(self, piece: bytes) -> None:
        """The next piece of the body."""
        self.size += len(piece)
        self._memory.take(len(piece))
        room = (SHORT_HEAD if self._memory.is_full else LONGEST_HEAD) - len(self._head)
        if not self._tail and len(piece) <= room:
            self._head += piece
            return
        self._tail += piece
        if len(self._tail) > 2 * LONGEST_TAIL:
            self._memory.give_back(len(self._tail) - LONGEST_TAIL)
            del self._tail[:-LONGEST_TAIL]

    def body(self) -> Body:
        """What is kept so far."""
        return Body(self._head, self._tail, self.size, self.encoding)
