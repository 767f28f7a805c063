"""What an OTLP/HTTP sender is told, in the encoding it used (OTLP specification, "OTLP/HTTP Response")."""

from __future__ import annotations

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

JSON, PROTOBUF = "application/json", "application/x-protobuf"


def encoding_of(content_type: str) -> str | None:
    """The encoding that a Content-Type names: JSON or PROTOBUF; None when it is neither."""
    name = content_type.partition(";")[0].strip().lower()
    return name if name in (JSON, PROTOBUF) else None


def success(rejected: int, message: str, encoding: str) -> bytes:
    """An ExportTraceServiceResponse; with `partial_success` when spans were refused."""
    if encoding == JSON:  # 64-bit numbers are texts in protobuf's JSON
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}}
        return orjson.dumps(partial if rejected else {})
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return bytes(response.SerializeToString())


def failure(message: str, encoding: str) -> bytes:
    """A google.rpc.Status with this message and no code, as the specification asks."""
    if encoding == JSON:
        return orjson.dumps({"message": message})
    # Status has its message in field 2, as ExportTracePartialSuccess has; the bytes are the same
    return bytes(ExportTracePartialSuccess(error_message=message).SerializeToString())
