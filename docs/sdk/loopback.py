"""A model vendor and a receiver on loopback: SDKs ask the one and export to the other.

The vendor speaks OpenAI's chat and embeddings API as far as the scenario needs it. The receiver keeps every exported span, and
LangSmith's own runs as they come.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from docs.sdk import scenario


class Loopback(ThreadingHTTPServer):
    """Both in one server; `exports` holds the OTLP requests that arrived, `runs` content type and body of LangSmith's."""

    daemon_threads = True

    def __init__(self) -> None:
        self.exports: list[ExportTraceServiceRequest] = []
        self.runs: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def listening() -> Iterator[Loopback]:
    """A server that is there for the time of the block."""
    with Loopback() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: Loopback
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/v1/chat/completions":
            self._chat(json.loads(body))
        elif self.path == "/v1/embeddings":
            self._reply(200, _embedding())
        elif self.path.endswith("/v1/traces"):
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self.server.exports.append(ExportTraceServiceRequest.FromString(body))
            self._reply(200, {})
        elif self.path == "/runs/multipart":
            self.server.runs.append((self.headers["Content-Type"], body))
            self._reply(202, {})
        else:
            self._reply(404, {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def do_GET(self) -> None:
        self._reply(404, {})

    def _chat(self, asked: dict[str, Any]) -> None:
        case = next(
            case
            for case, question in scenario.QUESTIONS.items()
            if asked["messages"][-1]["content"] == question
        )
        if case == "error":
            self._reply(400, {"error": {"message": scenario.REFUSAL, "type": "invalid_request_error"}})
        elif case == "streamed":
            self._reply(200, b"".join(map(_event, _chunks())) + b"data: [DONE]\n\n", "text/event-stream")
        else:
            self._reply(200, _completion(case))

    def _reply(self, status: int, body: Any, media_type: str = "application/json") -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Nobody reads an access log here."""


def _completion(case: str) -> dict[str, Any]:
    wants_tool = case == "tool request"
    message = {
        "role": "assistant",
        "content": None if wants_tool else scenario.ANSWERS[case],
        **({"tool_calls": [scenario.asked_tool()]} if wants_tool else {}),
    }
    reason = "tool_calls" if wants_tool else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {**_head("chat.completion"), "choices": [choice], "usage": scenario.usage()}


def _chunks() -> Iterator[dict[str, Any]]:
    for word in scenario.ANSWERS["streamed"].split(" "):
        text = word if word == "A" else f" {word}"
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
        yield {**_head("chat.completion.chunk"), "choices": [choice]}
    yield {**_head("chat.completion.chunk"), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**_head("chat.completion.chunk"), "choices": [], "usage": scenario.usage()}


def _head(kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": scenario.START_SECONDS,
        "model": scenario.MODEL,
    }


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _embedding() -> dict[str, Any]:
    return {
        "object": "list",
        "model": scenario.EMBEDDING_MODEL,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
        "usage": {"prompt_tokens": scenario.EMBEDDING_TOKENS, "total_tokens": scenario.EMBEDDING_TOKENS},
    }
