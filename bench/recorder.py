"""What the recorder adds to a model call: per request and per piece of a stream, beside a direct connection and nginx.

One client and one vendor of plain sockets, everything on the loopback interface, the ways to the vendor taken in turn in
one run. nginx is left out where it is not installed (Debian and Ubuntu: `apt-get install nginx-light`); it passes bytes
on with its buffers off and records nothing. About one minute.

    python -m bench.recorder
"""

from __future__ import annotations

import argparse
import shutil
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench._common import (
    cpu_seconds,
    machine,
    median,
    print_json,
    print_table,
    resident_mb,
    say,
)
from bench._recorder_ways import ANSWER, PIECES, REQUEST, STREAMED, Way, ways_to_the_vendor

AIMS = "Aims: less than 0.5 ms added to a request, less than 0.2 ms to a piece of a stream."


@dataclass
class Times:
    """Microseconds of one way to the vendor: whole requests, and pieces from the vendor's send to the client's receive."""

    requests: list[float] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500, help="requests of one way and round")
    parser.add_argument(
        "--streams", type=int, default=4, help=f"streams of {PIECES} pieces of one way and round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dify-exporter-bench-"))
    try:
        with ExitStack() as running:
            ways = ways_to_the_vendor(running, folder)
            times = _measure(ways, given.requests, given.streams, given.rounds)
            costs = {way.name: _cost(way, times[way.name]) for way in ways if way.pid is not None}
            written = _records(next(way for way in ways if way.name == "recorder"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _report(times, costs, written, as_json=given.json)


def _measure(ways: list[Way], requests: int, streams: int, rounds: int) -> dict[str, Times]:
    times = {way.name: Times() for way in ways}
    for way in ways:
        _ask(way.port, max(100, requests // 2))  # connections made, caches warm
    for number in range(rounds):
        say(f"round {number + 1} of {rounds} …")
        for way in ways:
            times[way.name].requests += _ask(way.port, requests)
            for _ in range(streams):
                times[way.name].pieces += _listen(way.port)
    return times


def _ask(port: int, how_many: int) -> list[float]:
    """Microseconds of requests one after another on one connection, from the first byte sent to the last received."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(REQUEST) + REQUEST
    taken = []
    with _connected(port) as (connection, reader):
        for _ in range(how_many):
            begun = time.perf_counter_ns()
            connection.sendall(request)
            length = 0
            while (line := reader.readline()) not in (b"\r\n", b""):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if reader.read(length) != ANSWER:
                raise SystemExit("an answer did not arrive as the vendor sent it")
            taken.append((time.perf_counter_ns() - begun) / 1e3)
    return taken


def _listen(port: int) -> list[float]:
    """Microseconds of each piece of one stream; the vendor writes its own time of sending into each."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(STREAMED) + STREAMED
    taken = []
    with _connected(port) as (connection, reader):
        connection.sendall(request)
        while (line := reader.readline()) != b"0\r\n":
            now = time.perf_counter_ns()
            if line.startswith(b'data: {"sent":'):
                taken.append((now - int(line[14 : line.index(b",")])) / 1e3)
            elif not line:
                raise SystemExit("a stream was cut")
    if len(taken) != PIECES:
        raise SystemExit("pieces of a stream are missing")
    return taken


@contextmanager
def _connected(port: int) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as reader:
            yield connection, reader


def _records(way: Way) -> dict[str, Any]:
    """What became of the records, once none is waiting: a recorder that loses them would look fast."""
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{way.port}/-/recorder/health", timeout=30) as reply:
            health: dict[str, Any] = orjson.loads(reply.read())
        if not health["waiting"]:
            return {
                "recorded": health["recorded"],
                "written": health["records"].get("written", 0),
                "lost": sum(health["lost"].values()),
            }
        time.sleep(0.1)


def _cost(way: Way, times: Times) -> dict[str, float | None]:
    assert way.pid is not None
    family = [way.pid, *_children(way.pid)]
    return {
        "resident_mb": sum(resident_mb(pid) or 0.0 for pid in family),
        "cpu_seconds": sum(cpu_seconds(pid) for pid in family),
    }


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _report(
    times: dict[str, Times], costs: dict[str, Any], written: dict[str, Any], *, as_json: bool
) -> None:
    rows = {name: _row(taken, times["direct"]) for name, taken in times.items()}
    document = {"machine": machine(), "ways": rows, "processes": costs, "records": written, "aims": AIMS}
    if as_json:
        print_json(document)
        return
    print(
        f"{len(times['direct'].requests)} requests and {len(times['direct'].pieces)} pieces a way, {machine()}"
    )
    print_table(
        ("µs", "request", "p99", "added", "ratio", "piece", "p99", "added", "ratio", "MB"),
        [
            (
                name,
                *(f"{row[key]:.0f}" for key in ("request_p50", "request_p99", "request_added")),
                f"{row['request_ratio']:.2f}",
                *(f"{row[key]:.0f}" for key in ("piece_p50", "piece_p99", "piece_added")),
                f"{row['piece_ratio']:.2f}",
                f"{costs[name]['resident_mb']:.0f}" if name in costs else "",
            )
            for name, row in rows.items()
        ],
    )
    print(f"records: {written['recorded']} calls, {written['written']} written, {written['lost']} lost")
    print(AIMS)
    print_json(document)


def _row(taken: Times, direct: Times) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, values, base in (
        ("request", taken.requests, direct.requests),
        ("piece", taken.pieces, direct.pieces),
    ):
        row[f"{name}_p50"] = median(values)
        row[f"{name}_p99"] = sorted(values)[int(len(values) * 0.99)]
        row[f"{name}_added"] = median(values) - median(base)
        row[f"{name}_ratio"] = median(values) / median(base)
    return row


if __name__ == "__main__":
    main()
