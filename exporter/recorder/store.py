"""The store process: reads exchanges from the recorder, makes records of them and gets them out.

Started by `handoff`, ends when the recorder does. It may be killed at any time: an exchange is settled only after its
record is safe, and the recorder sends what was not settled again. When nothing goes out it stops reading, and the
recorder's memory is where the wait is bounded.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import orjson

from exporter.config import LogSettings
from exporter.logs import configure
from exporter.recorder import telling
from exporter.recorder.exchange import Arriving, Exchange, Report
from exporter.recorder.options import INTAKE_TOKEN, StoreOptions
from exporter.recorder.outlets import FileOutlet, PushOutlet
from exporter.recorder.records import NoRecord, record_of
from exporter.recorder.spool import Spool

_NICE = 10
_TICK_SECONDS = 0.5
_STUCK_SECONDS = 1.0
_BATCH_BYTES = 4 * 2**20
_READ_BYTES = 1 * 2**20

Outlet = FileOutlet | PushOutlet


def main() -> None:
    """`python -m exporter.recorder.store FD OPTIONS`: serve the recorder at the other end of a socket."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the recorder says when: it closes the socket
    os.nice(_NICE)  # the traffic goes first
    options = StoreOptions.from_text(sys.argv[2])
    configure(LogSettings(**options.log))
    with socket.socket(fileno=int(sys.argv[1])) as link:
        serve(link, options.name, _outlet(options))


def serve(link: socket.socket, source: str, outlet: Outlet) -> None:
    """Make and keep records until the recorder has ended and everything it sent is done."""
    arriving = Arriving()
    recorder = os.getppid()
    while True:
        if not select.select([link], [], [], _TICK_SECONDS)[0]:
            _tick(link, outlet)
            continue
        try:
            piece = link.recv(_READ_BYTES)
        except ConnectionError:
            return
        if not piece:
            return
        settled: list[int] = []
        lines: list[bytes] = []
        counts: Counter[str] = Counter()
        for exchange in arriving.feed(piece):
            settled.append(exchange.number)
            lines += _lines(exchange, source, counts)
        for batch in _batches(lines):
            if not _kept(link, outlet, batch, recorder):
                return
        if settled:
            _report(link, outlet, tuple(settled), counts)


def _outlet(options: StoreOptions) -> Outlet:
    if options.out is not None:
        return FileOutlet(Path(options.out), options.file_bytes)
    spool = Spool(Path(options.spool), options.spool_bytes)
    return PushOutlet(options.push or "", os.environ.get(INTAKE_TOKEN, ""), spool)


def _lines(exchange: Exchange, source: str, counts: Counter[str]) -> list[bytes]:
    """The record of an exchange as a line; none when it cannot be made, which is counted."""
    try:
        return [orjson.dumps(record_of(exchange, source)) + b"\n"]
    except NoRecord as problem:
        counts[problem.cause] += 1
        telling.warning("no_record", operation=exchange.operation, reason=str(problem))
    except Exception as error:  # noqa: BLE001 - bodies come from anywhere, and the next one must still be read
        counts["unreadable"] += 1
        telling.warning("no_record", operation=exchange.operation, reason=type(error).__name__)
    return []


def _batches(lines: list[bytes]) -> list[list[bytes]]:
    """The lines in parts that the exporter's intake takes in one request."""
    batches: list[list[bytes]] = []
    size = _BATCH_BYTES
    for line in lines:
        if size + len(line) > _BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(line)
        size += len(line)
    return batches


def _kept(link: socket.socket, outlet: Outlet, lines: list[bytes], recorder: int) -> bool:
    """Get lines out, trying until it works; False when the recorder is gone and it still does not."""
    while True:
        try:
            outlet.keep(lines)
            return True
        except OSError as error:
            problem = error.strerror or str(error) or type(error).__name__
        if len(lines) > 1:  # there may be room for some of them
            middle = len(lines) // 2
            return _kept(link, outlet, lines[:middle], recorder) and _kept(
                link, outlet, lines[middle:], recorder
            )
        if os.getppid() != recorder:
            telling.error("record_lost", reason=problem)
            return False
        _report(link, outlet, (), Counter(), problem)
        time.sleep(_STUCK_SECONDS)


def _tick(link: socket.socket, outlet: Outlet) -> None:
    try:
        outlet.tick()
    except OSError as problem:
        telling.warning("spool_not_read", error=type(problem).__name__)
    if outlet.counts:
        _report(link, outlet, (), Counter())


def _report(
    link: socket.socket,
    outlet: Outlet,
    settled: tuple[int, ...],
    counts: Counter[str],
    problem: str | None = None,
) -> None:
    counts = counts + outlet.counts
    outlet.counts.clear()
    with contextlib.suppress(
        ConnectionError
    ):  # a recorder that is gone left records that are still worth keeping
        link.sendall(Report(settled, dict(counts), outlet.spool_bytes, problem).to_line())


if __name__ == "__main__":
    main()
