"""A receiver that acknowledges every OTLP request, over HTTP and over gRPC, in a process of its own.

It answers first and counts afterwards, on a thread of its own, so that counting is never what is waited for. `Sink` starts
one; the counts are of what was really in the requests (unpacked and parsed), so that nothing lost looks fast. Below `/slow/`
it takes five seconds for an answer, below `/busy/` it says 429 and takes nothing.

    python -m bench.otlp_sink        prints its addresses, ends when its standard input closes
"""

from __future__ import annotations

import argparse
import gzip
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

SLOW_SECONDS = 5.0
_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


@dataclass(frozen=True, slots=True)
class Counts:
    """What came in since the last reset. `size_bytes` is what went over the wire."""

    requests: int = 0
    size_bytes: int = 0
    spans: int = 0
    traces: int = 0


class Sink:
    """A running receiver as the other scripts see it."""

    def __init__(self, address: str, grpc_address: str | None = None) -> None:
        self.address = address
        self.grpc_address = grpc_address
        """None where grpcio is not installed."""

    def counts(self) -> Counts:
        """Everything received so far; waits until it is all counted."""
        return Counts(**orjson.loads(self._ask("GET")))

    def reset(self, keep: Path | None = None) -> None:
        """Begin to count anew; with `keep` the bodies are written into that folder, one file a request."""
        self._ask("PUT", str(keep or "").encode())

    def _ask(self, method: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.address}/counts", body, method=method)
        with urllib.request.urlopen(request, timeout=300) as reply:
            return bytes(reply.read())


@contextmanager
def sink(core: int | None = None) -> Iterator[Sink]:
    """A receiver in its own process for the length of the block, on that core when one is named."""
    command = [sys.executable, "-m", "bench.otlp_sink"] + ([] if core is None else ["--core", str(core)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address, _, grpc_address = process.stdout.readline().strip().partition(" ")
            yield Sink(address, grpc_address or None)
        finally:
            process.stdin.close()
            process.wait(timeout=30)


class _Counter:
    """Counts on its own thread what the handlers put into its queue."""

    def __init__(self) -> None:
        self.bodies: queue.Queue[tuple[bytes, bool]] = queue.Queue()
        self.keep: Path | None = None
        self._counts = Counts()
        self._traces: set[bytes] = set()
        threading.Thread(target=self._count, daemon=True).start()

    def counts(self) -> Counts:
        self.bodies.join()
        return self._counts

    def reset(self, keep: Path | None) -> None:
        self.bodies.join()
        self._counts, self._traces, self.keep = Counts(), set(), keep

    def _count(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        while True:
            sent, is_packed = self.bodies.get()
            body = gzip.decompress(sent) if is_packed else sent
            request = ExportTraceServiceRequest.FromString(body)
            scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
            self._traces.update(span.trace_id for scope in scopes for span in scope.spans)
            old = self._counts
            if self.keep is not None:
                (self.keep / f"{old.requests:06d}.bin").write_bytes(body)
            self._counts = Counts(
                old.requests + 1,
                old.size_bytes + len(sent),
                old.spans + sum(len(scope.spans) for scope in scopes),
                len(self._traces),
            )
            self.bodies.task_done()


def _handler(counter: _Counter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/busy/"):
                self._answer(b"", "application/x-protobuf", 429)
                return
            if self.path.startswith("/slow/"):
                time.sleep(SLOW_SECONDS)
            self._answer(b"", "application/x-protobuf")
            counter.bodies.put((body, self.headers.get("Content-Encoding") == "gzip"))

        def do_GET(self) -> None:
            self._answer(orjson.dumps(asdict(counter.counts())), "application/json")

        def do_PUT(self) -> None:
            folder = self.rfile.read(int(self.headers["Content-Length"])).decode()
            counter.reset(Path(folder) if folder else None)
            self._answer(b"{}", "application/json")

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: one line a request would be the slowest part of it."""

        def _answer(self, body: bytes, content_type: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    return Handler


def _grpc_server(counter: _Counter) -> tuple[Any, str]:
    """A gRPC server, which lives as long as it is held, and its address; nothing and empty without grpcio."""
    try:
        import grpc
    except ImportError:
        return None, ""

    def export(body: bytes, context: Any) -> bytes:
        counter.bodies.put((body, False))
        return b""

    server = grpc.server(ThreadPoolExecutor(4))
    call = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": call}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"http://127.0.0.1:{port}"


def main() -> None:
    """Serve on a free port of the loopback interface until standard input closes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core", type=int, help="run on this core only")
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    counter = _Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(counter))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    held, grpc_address = _grpc_server(counter)
    print(f"http://127.0.0.1:{server.server_address[1]} {grpc_address}", flush=True)
    sys.stdin.read()
    server.shutdown()
    if held is not None:
        held.stop(None)


if __name__ == "__main__":
    main()
