"""What the recorder adds to a model call: per request and per piece of a stream, beside a direct connection and nginx.

One client and one vendor of plain sockets, everything on the loopback interface, the ways to the vendor taken in turn in
one run. nginx is left out where it is not installed (Debian and Ubuntu: `apt-get install nginx-light`); it passes bytes
on with its buffers off and records nothing. About one minute.

    python -m bench.recorder
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench._common import (
    bare_environment,
    cpu_seconds,
    machine,
    median,
    print_json,
    print_table,
    resident_mb,
    say,
)

AIMS = "Aims: less than 0.5 ms added to a request, less than 0.1 ms to a piece of a stream."

_REQUEST = orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 400}]})
_STREAMED = orjson.dumps({**orjson.loads(_REQUEST), "stream": True})
_USAGE = {"prompt_tokens": 410, "completion_tokens": 200, "total_tokens": 610}
_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 200}, "finish_reason": "stop"}
        ],
        "usage": _USAGE,
    }
)
_PIECES = 200
_PAUSE_SECONDS = 0.002
"""Between pieces: five hundred tokens a second, faster than any model writes."""
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_START_SECONDS = 30.0


@dataclass
class Times:
    """Microseconds of one way to the vendor: whole requests, and pieces from the vendor's send to the client's receive."""

    requests: list[float] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """How the client reaches the vendor; `pid` is the process in between."""

    name: str
    port: int
    pid: int | None = None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500, help="requests of one way and round")
    parser.add_argument(
        "--streams", type=int, default=4, help=f"streams of {_PIECES} pieces of one way and round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    parser.add_argument("--vendor", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.vendor:
        _serve_vendor()
        return
    folder = Path(tempfile.mkdtemp(prefix="dify-exporter-bench-"))
    try:
        with ExitStack() as running:
            ways = _ways(running, folder)
            times = _measure(ways, given.requests, given.streams, given.rounds)
            costs = {way.name: _cost(way, times[way.name]) for way in ways if way.pid is not None}
            written = _records(next(way for way in ways if way.name == "recorder"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _report(times, costs, written, as_json=given.json)


def _ways(running: ExitStack, folder: Path) -> list[Way]:
    vendor = running.enter_context(_vendor())
    ways = [Way("direct", vendor)]
    if shutil.which("nginx") or Path("/usr/sbin/nginx").exists():
        ways.append(running.enter_context(_nginx(folder, vendor)))
    else:
        say("nginx is not installed and left out; on Debian and Ubuntu: apt-get install nginx-light")
    ways.append(running.enter_context(_recorder(folder, vendor)))
    return ways


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
    request = head + b"Content-Length: %d\r\n\r\n" % len(_REQUEST) + _REQUEST
    taken = []
    with _connected(port) as (connection, reader):
        for _ in range(how_many):
            begun = time.perf_counter_ns()
            connection.sendall(request)
            length = 0
            while (line := reader.readline()) not in (b"\r\n", b""):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if reader.read(length) != _ANSWER:
                raise SystemExit("an answer did not arrive as the vendor sent it")
            taken.append((time.perf_counter_ns() - begun) / 1e3)
    return taken


def _listen(port: int) -> list[float]:
    """Microseconds of each piece of one stream; the vendor writes its own time of sending into each."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(_STREAMED) + _STREAMED
    taken = []
    with _connected(port) as (connection, reader):
        connection.sendall(request)
        while (line := reader.readline()) != b"0\r\n":
            now = time.perf_counter_ns()
            if line.startswith(b'data: {"sent":'):
                taken.append((now - int(line[14 : line.index(b",")])) / 1e3)
            elif not line:
                raise SystemExit("a stream was cut")
    if len(taken) != _PIECES:
        raise SystemExit("pieces of a stream are missing")
    return taken


@contextmanager
def _connected(port: int) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as reader:
            yield connection, reader


@contextmanager
def _vendor() -> Iterator[int]:
    command = [sys.executable, "-m", "bench.recorder", "--vendor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def _serve_vendor() -> None:
    """Answer on a free port of the loopback interface until standard input closes."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), _Vendor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()


class _Vendor(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if b'"stream":true' in self.rfile.read(length):
                self._stream()
            else:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                self.request.sendall(head % len(_ANSWER) + _ANSWER)

    def _stream(self) -> None:
        self.request.sendall(_STREAM_HEAD)
        rest = b',"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
        for _ in range(_PIECES):
            time.sleep(_PAUSE_SECONDS)
            event = b'data: {"sent":%d' % time.perf_counter_ns() + rest
            self.request.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        last = b'data: {"id":"chatcmpl-1","choices":[],"usage":%s}\n\ndata: [DONE]\n\n' % orjson.dumps(_USAGE)
        self.request.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))


_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 16; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""


@contextmanager
def _nginx(folder: Path, vendor: int) -> Iterator[Way]:
    port = _free_port()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, vendor=vendor, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with _process(
        [program, "-c", str(settings), "-p", str(folder), "-g", f"user {_user()};"], port
    ) as process:
        yield Way("nginx", port, process.pid)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


@contextmanager
def _recorder(folder: Path, vendor: int) -> Iterator[Way]:
    port = _free_port()
    start = (
        "import sys; from pathlib import Path; from exporter.config import LogSettings;"
        " from exporter.logs import configure; from exporter.recorder.command import serve_recorder;"
        " from exporter.recorder.options import read_options; log = LogSettings(level='error'); configure(log);"
        " serve_recorder(read_options(listen=sys.argv[1], upstream=[sys.argv[2]], out=Path(sys.argv[3]), log=log))"
    )
    command = [
        sys.executable,
        "-c",
        start,
        f"127.0.0.1:{port}",
        f"http://127.0.0.1:{vendor}",
        str(folder / "out.jsonl"),
    ]
    with _process(command, port) as process:
        yield Way("recorder", port, process.pid)


@contextmanager
def _process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready when its port answers."""
    process = subprocess.Popen(command, env=bare_environment())
    try:
        end = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
