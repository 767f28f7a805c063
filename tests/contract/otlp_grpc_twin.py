"""OTLP platforms over gRPC: a real gRPC server in front of the twin that keeps the platform's rules.

What the twin refuses becomes the status code that OTLP's specification gives it. Its own faults are those that only gRPC
has: codes with and without RetryInfo, a call that is never answered, a server that dies when it has stored everything.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.contract.otlp_twin import OtlpTwin
from tests.contract.twin_server import Request

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}


class OtlpGrpcTwin:
    """One platform. `answers` are the codes of the next exports, each with the seconds of its RetryInfo (None: without);
    the calls of `hang` more are never answered; `rejected` spans are said to be rejected in every answer."""

    def __init__(self, kind: str, tls: tuple[bytes, bytes] | None = None) -> None:
        """`tls`: private key and certificate."""
        self.platform = OtlpTwin(kind)
        if self.platform.rules.metadata is not None:
            self.platform.rules = replace(self.platform.rules, headers=self.platform.rules.metadata)
        self.answers: list[tuple[str, float | None]] = []
        self.details = "what the prompt said"
        self.hang = 0
        self.rejected = 0
        self.metadata: list[dict[str, str]] = []
        self._tls = tls
        self._port = 0
        self._server: Any = None

    @property
    def url(self) -> str:
        """The address."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def up(self) -> Self:
        """Listen; after `down`, at the same port."""
        server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        call = grpc.unary_unary_rpc_method_handler(self._export)  # without (de)serialisers: bytes
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": call}),))
        address = f"127.0.0.1:{self._port}"
        if self._tls is None:
            self._port = server.add_insecure_port(address)
        else:
            self._port = server.add_secure_port(address, grpc.ssl_server_credentials([self._tls]))
        server.start()
        self._server = server
        return self

    def down(self) -> None:
        """End at once, with calls unanswered; what is held stays."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    def _export(self, body: bytes, context: Any) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        if self.hang:
            self.hang -= 1
            return _no_answer(context)
        if self.answers:
            code, seconds = self.answers.pop(0)
            _abort(context, code, self.details, seconds)
        headers = {**self.metadata[-1], "content-type": "application/x-protobuf"}
        response = self.platform.respond(Request("POST", self.platform.rules.path, {}, headers, body))
        if response.hang_up:
            threading.Thread(target=self.down).start()
            return _no_answer(context)
        if response.status != 200:
            pause = float(self.platform.faults.retry_after) if response.status == 429 else None
            _abort(context, CODES[response.status], str(response.body), pause)
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.rejected
        return bytes(answer.SerializeToString())


def _no_answer(context: Any) -> bytes:
    """What nobody gets: it comes when the client has given up or the server was killed."""
    while context.is_active():
        time.sleep(0.005)
    return b""


def _abort(context: Any, code: str, details: str, retry_seconds: float | None) -> None:
    if retry_seconds is not None:
        status = Status(code=grpc.StatusCode[code].value[0], message=details)
        delay = Duration()
        delay.FromNanoseconds(round(retry_seconds * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode[code], details)
