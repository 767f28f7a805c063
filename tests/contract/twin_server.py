"""What both contract twins share: a real HTTP server on loopback, faults that tests switch on, and what it counted.

A twin is no mock: it decodes the bytes it gets, keeps documented rules, loses what it was told to lose, and can be
run as a process of its own (`python -m tests.contract.langfuse_twin --port 0 --state FILE`). Its control addresses
(`/control/faults`, `/control/held`) are for tests only.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import sys
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass
class Faults:
    """What goes wrong. Counters go down by one per request (or per span, for `lose_spans`)."""

    throttle: int = 0  # this many exports get 429
    retry_after: str = "0"  # with this header
    fail: int = 0  # this many exports get 500
    hang_up: int = 0  # this many exports: the connection is closed unanswered, nothing is stored
    hang_up_after: int = (
        0  # this many exports: everything is stored, then the connection is closed unanswered
    )
    lose_spans: int = 0  # this many spans are acknowledged and never stored
    poison: list[str] = field(default_factory=list)  # a request with one of these span ids gets 400
    max_bytes: int = 0  # a larger uncompressed body gets 413; 0 = any size
    redirect: int = 0  # this many exports get 302
    no_reads: int = 0  # this many reads get 429


@dataclass(frozen=True)
class Request:
    """One HTTP request with its body as it was before compression."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """The query with names that come more than once."""


@dataclass(frozen=True)
class Response:
    """One HTTP answer; `hang_up` closes the connection instead. `raw` is sent as it is, in place of the body as JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    raw: bytes | None = None


class Refused(Exception):
    """The request is answered with this status and nothing of it is kept."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = Response(status, {"error": message}, headers or {})


class Twin(ABC):
    """A server that may go down and come up again at the same address with what it holds."""

    def __init__(self, *, port: int = 0, state: Path | None = None) -> None:
        self.faults = Faults()
        self.requests = 0
        self.reads = 0
        self.bodies: list[int] = []
        self.lock = threading.RLock()
        self._noted: list[str] = []
        self._port = port
        self._state = state
        self._server: ThreadingHTTPServer | None = None
        if state is not None and state.exists():
            for line in state.read_text("utf-8").splitlines():
                self.recall(json.loads(line))

    # what a twin adds

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """Answer one request."""

    def recall(self, entry: dict[str, Any]) -> None:
        """Take back one entry of the state file; a twin that remembers nothing has none."""
        raise TypeError(f"{type(self).__name__} keeps no state file")

    @abstractmethod
    def held(self) -> dict[str, Any]:
        """What is held, as JSON."""

    def checks(self) -> list[str]:
        """Violations that show only in the whole of what is held."""
        return []

    # life

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def violations(self) -> list[str]:
        """Rules that were broken by what was sent; a correct client leaves this empty."""
        with self.lock:
            return self._noted + self.checks()

    def note(self, violation: str) -> None:
        """Remember a broken rule once."""
        if violation not in self._noted:
            self._noted.append(violation)

    def remember(self, entry: dict[str, Any]) -> None:
        """Write one entry to the state file, so that a restart finds it."""
        if self._state is not None:
            with self._state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def up(self) -> Self:
        """Listen; after `down`, at the same address."""
        server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections; what is held stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    def respond(self, request: Request) -> Response:
        """One request, control addresses included."""
        if request.path == "/control/faults":
            self._set_faults(json.loads(request.body or b"{}"))
            return Response(200, asdict(self.faults))
        if request.path == "/control/held":
            with self.lock:
                return Response(
                    200, {**self.held(), "violations": self.violations, "requests": self.requests}
                )
        try:
            return self.answer(request)
        except Refused as refused:
            return refused.response

    def _set_faults(self, wanted: dict[str, Any]) -> None:
        with self.lock:
            for name in (item.name for item in fields(Faults)):
                if name in wanted:
                    setattr(self.faults, name, wanted[name])
        down_seconds = wanted.get("down_seconds")
        if down_seconds:
            threading.Thread(target=self._nap, args=(float(down_seconds),), daemon=True).start()

    def _nap(self, seconds: float) -> None:
        time.sleep(0.05)
        self.down()
        time.sleep(seconds)
        self.up()

    # exports

    def take(self, request: Request, store: Callable[[ExportTraceServiceRequest], None]) -> bool:
        """The faults and checks that come before a body is looked at, then `store`. True: answer by hanging up."""

        def keep() -> None:
            export = decode(request)
            if any(span.span_id.hex() in self.faults.poison for span, _, _ in spans_of(export)):
                raise Refused(400, "invalid span: " + "what the prompt said")
            store(export)

        return self.take_any(request, keep)

    def take_any(self, request: Request, keep: Callable[[], None]) -> bool:
        """As `take`, for a body of any kind."""
        with self.lock:
            self.requests += 1
            self.bodies.append(len(request.body))
            if self._use("hang_up"):
                return True
            if self._use("throttle"):
                raise Refused(429, "rate limit exceeded", {"Retry-After": self.faults.retry_after})
            if self._use("fail"):
                raise Refused(500, "Failed to upload JSON to S3")
            if self._use("redirect"):
                raise Refused(302, "moved", {"Location": "https://login.invalid/start?token=secret"})
            if self.faults.max_bytes and len(request.body) > self.faults.max_bytes:
                raise Refused(413, "request entity too large")
            keep()
            return self._use("hang_up_after")

    def read(self) -> None:
        """The faults of a read."""
        with self.lock:
            self.reads += 1
            if self._use("no_reads"):
                raise Refused(429, "rate limit exceeded", {"Retry-After": "1"})

    def is_lost(self) -> bool:
        """True when the next span is to be acknowledged and lost."""
        return self._use("lose_spans")

    def _use(self, name: str) -> bool:
        left = getattr(self.faults, name)
        if left > 0:
            setattr(self.faults, name, left - 1)
        return bool(left > 0)


def decode(request: Request) -> ExportTraceServiceRequest:
    """The export request of a body, protobuf or JSON. Raises Refused(400)."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    try:
        if media_type == "application/x-protobuf":
            return ExportTraceServiceRequest.FromString(request.body)
        if media_type == "application/json":
            return Parse(request.body, ExportTraceServiceRequest())
    except (DecodeError, ParseError):
        raise Refused(400, "the body cannot be decoded") from None
    raise Refused(400, "unsupported content type")


def spans_of(export: ExportTraceServiceRequest) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """(span, resource attributes, scope) of a request."""
    for resource_spans in export.resource_spans:
        resource = attributes(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield span, resource, scope_spans.scope


def attributes(holder: Any) -> dict[str, Any]:
    """Attributes as plain values; a kvlist becomes the raw text that Langfuse makes of it."""
    return {item.key: plain(item.value) for item in holder.attributes}


def plain(value: AnyValue) -> Any:
    """The Python value of an AnyValue."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return json.dumps({"kvlistValue": [item.key for item in value.kvlist_value.values]})
    return getattr(value, kind) if kind else None


def twice(span: Any) -> list[str]:
    """Attribute names that a span carries more than once, which OTLP forbids."""
    names = [item.key for item in span.attributes]
    return sorted({name for name in names if names.count(name) > 1})


def serve(
    make: Callable[[argparse.Namespace], Twin], add_options: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Run a twin as a process: writes its address as the first line, then serves until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path)
    add_options(parser)
    twin = make(parser.parse_args()).up()
    sys.stdout.write(twin.url + "\n")
    sys.stdout.flush()
    threading.Event().wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *of: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*of)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Kept-alive connections end with the server, as they do when it is killed."""
        super().server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is its own affair; anything else is a bug of the twin and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(twin: Twin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are written apart; waiting for an ACK costs 40 ms each

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PATCH(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if headers.get("content-encoding") == "gzip":
                try:
                    body = gzip.decompress(body)
                except (OSError, EOFError, zlib.error):
                    self._send(Response(400, {"error": "the body is not gzip"}))
                    return
            parts = urlsplit(self.path)
            pairs = parse_qsl(parts.query)
            request = Request(self.command, parts.path, dict(pairs), headers, body, pairs)
            self._send(twin.respond(request))

        def _send(self, response: Response) -> None:
            if response.hang_up:
                self.close_connection = True
                self.connection.close()
                return
            payload = b"" if response.body is None else json.dumps(response.body).encode()
            payload = payload if response.raw is None else response.raw
            self.send_response(response.status)
            for name, value in {"Content-Type": "application/json", **response.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Tests read answers, not access logs."""

    return Handler
