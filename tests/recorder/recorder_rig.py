"""Real sockets around a real recorder: a vendor that plays scripts, an intake, and a client that sees raw bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LAUNCH = """
import json, sys
from dataclasses import replace
from pathlib import Path
from exporter.config import LogSettings
from exporter.logs import configure
from exporter.recorder.command import serve_recorder
from exporter.recorder.options import read_options
given = json.loads(sys.argv[1])
paths = {name: Path(given.pop(name)) for name in ("out", "spool", "upstream_ca") if given.get(name)}
limits = given.pop("limits", {})
log = LogSettings(level="info", format="json")
configure(log)
sys.exit(serve_recorder(replace(read_options(log=log, **given, **paths), **limits)))
"""
REPOSITORY = Path(__file__).parents[2]
LONG_SECONDS = 30.0


@dataclass
class Seen:
    """A request as the vendor got it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: int

    def header(self, name: bytes) -> bytes | None:
        return next((value for header, value in self.headers if header.lower() == name.lower()), None)


@dataclass
class Vendor:
    """A raw HTTP/1.1 server: `play(seen, socket)` writes the bytes of each answer; False ends the connection."""

    port: int = 0
    scheme: str = "http"
    seen: list[Seen] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    play: Callable[[Seen, socket.socket], bool | None] = lambda seen, connection: answer(connection, b"{}")

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def answer(connection: socket.socket, body: bytes, status: str = "200 OK", *headers: bytes) -> bool:
    """A plain answer with a length."""
    extra = b"".join(header + b"\r\n" for header in headers)
    connection.sendall(
        b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status.encode(), len(body), extra) + body
    )
    return True


def chunk(body: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(body), body)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def vendor(
    play: Callable[[Seen, socket.socket], bool | None] | None = None, certificate: Path | None = None
) -> Iterator[Vendor]:
    """A vendor on a free port for the length of the block; over TLS when it has a certificate."""
    running = Vendor(scheme="https" if certificate else "http")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        tls.load_cert_chain(certificate)
    if play is not None:
        running.play = play

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if certificate is not None:
                try:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                except (ssl.SSLError, ConnectionError):
                    return
            reader = self.request.makefile("rb")
            try:
                while (seen := _read_request(reader, id(self.request))) is not None:
                    running.seen.append(seen)
                    if running.play(seen, self.request) is False:
                        return
            except (ConnectionError, BrokenPipeError):
                running.gone.set()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        running.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            server.shutdown()


def _read_request(reader: Any, connection: int) -> Seen | None:
    line = reader.readline()
    if not line:
        return None
    headers = []
    while (text := reader.readline().rstrip(b"\r\n")) != b"":
        name, _, value = text.partition(b":")
        headers.append((name, value.strip()))
    seen = Seen(line.rstrip(b"\r\n"), headers, b"", connection)
    if (length := seen.header(b"content-length")) is not None:
        seen.body = reader.read(int(length))
    elif (seen.header(b"transfer-encoding") or b"").lower() == b"chunked":
        while size := int(reader.readline(), 16):
            seen.body += reader.read(size)
            reader.readline()
        reader.readline()
    return seen


@dataclass
class Recorder:
    """A running recorder."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/-/recorder/health", timeout=LONG_SECONDS) as reply:
            return json.loads(reply.read())

    def wait_health(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first health answer that is so."""
        end = time.monotonic() + LONG_SECONDS
        while not is_so(health := self.health()):
            assert time.monotonic() < end, f"never so: {health}\n{self.log.read_text()}"
            time.sleep(0.02)
        return health

    def store_pid(self) -> int:
        """The process id of its store."""
        end = time.monotonic() + LONG_SECONDS
        while time.monotonic() < end:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            stores = [pid for pid in children if b"exporter.recorder.store" in _command_line(pid)]
            if stores:
                return int(stores[-1])
            time.sleep(0.02)
        raise AssertionError("no store is running")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=LONG_SECONDS)


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


@contextmanager
def recorder(folder: Path, upstream: str | list[str], **given: Any) -> Iterator[Recorder]:
    """A recorder in its own process. Without `push` it writes `records.jsonl` in the folder."""
    options = {
        "listen": "127.0.0.1:0",
        "upstream": [upstream] if isinstance(upstream, str) else upstream,
        "spool": str(folder / "spool"),
        **({} if "push" in given else {"out": str(folder / "records.jsonl")}),
        **given,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIFY_")}
    environment |= options.pop("environment", {})
    before = options.pop("before", None)
    log = folder / "recorder.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, json.dumps(options)],
            stderr=errors,
            cwd=REPOSITORY,
            env=environment,
            preexec_fn=before,
        )
    try:
        yield Recorder(process, _port(process, log), folder, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + LONG_SECONDS
    while time.monotonic() < end:
        found = re.search(r'"listening": \["127\.0\.0\.1:(\d+)"\]', log.read_text())
        if found:
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"the recorder did not start:\n{log.read_text()}")


def records(running: Recorder, how_many: int) -> list[dict[str, Any]]:
    """The records in its file, once so many are there."""
    path = running.folder / "records.jsonl"
    end = time.monotonic() + LONG_SECONDS
    lines: list[str] = []
    while time.monotonic() < end:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= how_many:
            return [json.loads(line) for line in lines]
        time.sleep(0.02)
    raise AssertionError(
        f"{len(lines)} of {how_many} records came:\n{running.health()}\n{running.log.read_text()}"
    )


@dataclass
class Intake:
    """The exporter's push intake as the recorder sees it. `status` is what it answers."""

    port: int = 0
    status: int = 200
    max_body: int = 2**30
    records: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    refuses: Callable[[dict[str, Any]], bool] = lambda record: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, how_many: int) -> list[dict[str, Any]]:
        end = time.monotonic() + LONG_SECONDS
        while len(self.records) < how_many:
            assert time.monotonic() < end, f"{len(self.records)} of {how_many} records came"
            time.sleep(0.02)
        return self.records


@contextmanager
def intake(port: int = 0, status: int = 200) -> Iterator[Intake]:
    """An intake on a port for the length of the block."""
    running = Intake(status=status)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            lines = [json.loads(line) for line in body.splitlines()]
            status = running.status
            if status == 200 and any(map(running.refuses, lines)):
                status = 422
            if len(body) > running.max_body:
                status = 413
            if status == 200:
                running.records += lines
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Handler) as server:
        running.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            server.shutdown()


@contextmanager
def connected(port: int, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A raw connection."""
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(LONG_SECONDS)
        connection.connect(("127.0.0.1", port))
        yield connection


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    """The bytes of a request with a length."""
    extra = b"".join(header + b"\r\n" for header in headers)
    return (
        b"POST %s HTTP/1.1\r\nHost: recorder.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
        % (path.encode(), len(body), extra)
        + body
    )


@dataclass
class Answer:
    """An answer as the client got it. `is_whole` is False when its body broke off."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_whole: bool = True

    @property
    def status(self) -> int:
        return int(self.line.split()[1])

    def header(self, name: bytes) -> bytes | None:
        return next((value for header, value in self.headers if header.lower() == name.lower()), None)


def read_answer(reader: Any, has_body: bool = True) -> Answer:
    """One answer off a connection's reader."""
    line = reader.readline().rstrip(b"\r\n")
    headers = []
    while (text := reader.readline().rstrip(b"\r\n")) != b"":
        name, _, value = text.partition(b":")
        headers.append((name, value.strip()))
    found = Answer(line, headers, b"")
    if not has_body or found.status in (204, 304):
        return found
    if (length := found.header(b"content-length")) is not None:
        found.body = reader.read(int(length))
        found.is_whole = len(found.body) == int(length)
    elif (found.header(b"transfer-encoding") or b"").lower() == b"chunked":
        found.body, found.is_whole = _chunked(reader)
    else:
        found.body = reader.read()
    return found


def _chunked(reader: Any) -> tuple[bytes, bool]:
    body = b""
    while True:
        size = reader.readline()
        if not size.endswith(b"\r\n"):
            return body, False
        if int(size, 16) == 0:
            return body, reader.readline() == b"\r\n"
        piece = reader.read(int(size, 16))
        body += piece
        if len(piece) < int(size, 16) or reader.readline() != b"\r\n":
            return body, False


def ask(port: int, request: bytes, has_body: bool = True) -> Answer:
    """One request on a connection of its own."""
    with connected(port) as connection:
        connection.sendall(request)
        return read_answer(connection.makefile("rb"), has_body)
