"""Exchanges on their way to the store process: kept until the store is done with them, sent again when it died.

The store is started here and started anew whenever it ends. An exchange that a store had in hand when it died is sent
again alone; one that outlives three stores is given up and counted, so that no exchange can stop the recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.recorder import telling
from exporter.recorder.capture import Memory
from exporter.recorder.counts import Counts
from exporter.recorder.exchange import LONGEST_LINE, Exchange, Report, to_pieces
from exporter.recorder.options import StoreOptions

MOST_SENDS = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_END_SECONDS = 3.0
_GATHER_SECONDS = 0.05


@dataclass(slots=True)
class _Entry:
    exchange: Exchange
    sends: int = 0

    @property
    def held_bytes(self) -> int:
        bodies = (self.exchange.request, self.exchange.response)
        return sum(len(body.head) + len(body.tail) for body in bodies)


class Handoff:
    """The queue and the store behind it. `put` never waits; all else runs in `run`."""

    def __init__(self, options: StoreOptions, memory: Memory, counts: Counts) -> None:
        self._options, self._memory, self._counts = options, memory, counts
        self._waiting: deque[_Entry] = deque()
        self._sent: dict[int, _Entry] = {}
        self._changed = asyncio.Event()

    def put(self, exchange: Exchange) -> None:
        """Take an exchange over, with the memory it holds."""
        self._waiting.append(_Entry(exchange))
        self._changed.set()

    @property
    def waiting(self) -> int:
        """Exchanges that the store is not done with."""
        return len(self._waiting) + len(self._sent)

    async def run(self) -> None:
        """Keep a store running and feed it until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            settled_before = self._counts.records.total() + self._counts.lost.total()
            try:
                await self._with_store()
            except Exception as problem:  # noqa: BLE001 - whatever ends one store, the next is started
                telling.error("store_failed", error=type(problem).__name__)
            self._counts.store_is_running = False
            self._take_back()
            has_worked = self._counts.records.total() + self._counts.lost.total() > settled_before
            pause = _FIRST_PAUSE_SECONDS if has_worked else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            telling.warning("store_ended", waiting=self.waiting, again_in_seconds=pause)
            await asyncio.sleep(pause)

    async def drained(self, seconds: float) -> None:
        """Wait until the store is done with everything, at most so long; the rest is counted as lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.waiting:
                    self._changed.clear()
                    await self._changed.wait()
        if self.waiting:
            self._counts.lose("shutdown", self.waiting)

    async def _with_store(self) -> None:
        """One store from its start to its end."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "exporter.recorder.store", str(theirs.fileno())]
            process = await asyncio.create_subprocess_exec(
                *command,
                self._options.to_text(),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE)
        self._counts.store_starts += 1
        self._counts.store_is_running = True
        sending = asyncio.create_task(self._send(writer))
        try:
            await self._receive(reader)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
            await _ended(process)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while True:
            entry = await self._next()
            was_in_hand = entry.sends > 0
            if was_in_hand:
                await self._nothing_sent()
            self._waiting.popleft()
            entry.sends += 1
            self._sent[entry.exchange.number] = entry
            for piece in to_pieces(entry.exchange):
                writer.write(piece)
                await writer.drain()
            if was_in_hand:
                await self._nothing_sent()

    async def _next(self) -> _Entry:
        """The oldest that waits. After a pause some gather, so that sending them costs little while calls are answered."""
        if not self._waiting:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            await asyncio.sleep(_GATHER_SECONDS)
        return self._waiting[0]

    async def _nothing_sent(self) -> None:
        while self._sent:
            self._changed.clear()
            await self._changed.wait()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        """Take reports until the store ends."""
        while line := await _line(reader):
            try:
                report = Report.from_line(line)
            except (ValueError, TypeError, KeyError):
                telling.error("report_not_understood")
                return
            for number in report.settled:
                entry = self._sent.pop(number, None)
                if entry is not None:
                    self._memory.give_back(entry.held_bytes)
            self._counts.take(report)
            self._changed.set()

    def _take_back(self) -> None:
        """What the dead store had in hand goes to the front again, oldest first."""
        self._waiting.extendleft(reversed(list(self._worth_another())))
        self._sent.clear()

    def _worth_another(self) -> Iterator[_Entry]:
        for entry in self._sent.values():
            if entry.sends < MOST_SENDS:
                yield entry
            else:
                self._memory.give_back(entry.held_bytes)
                self._counts.lose("store_died")


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next whole line; nothing when the other side ended."""
    try:
        line = await reader.readline()
    except (ConnectionError, ValueError):
        return b""
    return line if line.endswith(b"\n") else b""


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a store whose connection is closed; one that does not end is ended."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
