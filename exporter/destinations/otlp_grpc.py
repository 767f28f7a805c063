"""OTLP over gRPC: the very bytes that HTTP would carry, so no generated stub is needed.

As over HTTP, no retry is made here, a deadline ends what hangs, and nothing the other side wrote gets into a reason.
grpcio is an optional extra, loaded only where a destination speaks gRPC.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from exporter.destinations.answers import accepted_or_rejected
from exporter.destinations.base import Answer, Outcome
from exporter.destinations.http import header_value
from exporter.errors import Misconfigured

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_TLS_PORT = 443
_RETRIED = frozenset({
    "CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS",  # OTLP's own list
    "INTERNAL", "UNKNOWN",  # as HTTP's 500: nothing is given up for a server's own failure
})  # fmt: skip
_HELD = {
    "UNAUTHENTICATED": "the keys are missing or wrong",
    "PERMISSION_DENIED": "the keys lack a right, or the account is suspended",
    "NOT_FOUND": "what the settings name is not known there",
    "UNIMPLEMENTED": "this address takes no spans",
    "RESOURCE_EXHAUSTED": "a quota is used up, and no time to try again was named",
}
_TOO_LARGE = re.compile(r"larger than max|exceeds maximum size|too large", re.IGNORECASE)
"""How gRPC's own implementations (C, Go, Java, Rust) say that a message is over the receiver's limit."""
_NO_GRPC = "Failed parsing HTTP/2"
_BROKEN = {
    "refused": "connection refused",
    "resol": "the host name cannot be resolved",
    "dns": "the host name cannot be resolved",
    "ssl": "TLS failed (certificate or protocol)",
    "handshake": "TLS failed (certificate or protocol)",
}


class GrpcExport:
    """One channel to one receiver, opened by its first request. Used by one thread at a time."""

    def __init__(
        self, name: str, address: str, plain_port: int, headers: Mapping[str, str], timeout_seconds: float
    ) -> None:
        """`address` is http:// (without TLS) or https://; its path says nothing to gRPC. Raises Misconfigured, also when
        grpcio is not installed."""
        self._grpc = _grpcio(name)
        parts = urlsplit(address)
        has_tls = parts.scheme == "https"
        port = parts.port or (_TLS_PORT if has_tls else plain_port)
        self.target = f"{_bracketed(parts.hostname or '')}:{port}"
        self._metadata = tuple(
            (key.strip().lower(), header_value(key, text)) for key, text in headers.items()
        )
        self._timeout_seconds = timeout_seconds
        self._certificates = _trusted() if has_tls else None
        self._call: Any = None

    def __call__(self, body: bytes) -> Answer:
        """One export request and what its answer means. Never raises for what the other side does."""
        if self._call is None:
            self._call = self._channel().unary_unary(METHOD)
        try:
            answer: bytes = self._call(body, timeout=self._timeout_seconds, metadata=self._metadata)
        except self._grpc.RpcError as error:
            pause = _retry_delay(error.trailing_metadata() or ())
            return classify(error.code().name, error.details() or "", pause)
        return accepted_or_rejected("gRPC OK", answer)

    def _channel(self) -> Any:
        options = (
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),  # how long to wait is decided by who sends
        )
        packing = {"options": options, "compression": self._grpc.Compression.Gzip}
        if self._certificates is None:
            return self._grpc.insecure_channel(self.target, **packing)
        credentials = self._grpc.ssl_channel_credentials(self._certificates)
        return self._grpc.secure_channel(self.target, credentials, **packing)


def classify(code: str, details: str, retry_delay_seconds: float | None) -> Answer:
    """The outcome of an OTLP/gRPC export by its status code, the status's text, which is only looked through for known
    words, and the delay of `RetryInfo`. Source: OTLP specification, "OTLP/gRPC response" and "OTLP/gRPC throttling"."""
    named = f"gRPC {code}"
    if code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE") and _TOO_LARGE.search(details):
        return Answer(Outcome.TOO_LARGE, named)
    if code == "INVALID_ARGUMENT":
        return Answer(Outcome.REFUSED, named)
    if _NO_GRPC in details:
        return Answer(Outcome.HOLD, f"{named}: what answers at this address speaks no gRPC")
    is_throttled = code == "RESOURCE_EXHAUSTED" and retry_delay_seconds is not None
    if code in _RETRIED or is_throttled:
        return Answer(Outcome.RETRY, named + _cause(code, details), retry_delay_seconds)
    known = _HELD.get(code, "the server takes no spans in this way")
    return Answer(Outcome.HOLD, f"{named}: {known}", retry_delay_seconds)


def _cause(code: str, details: str) -> str:
    """Why nothing was reached, in our words."""
    if code == "DEADLINE_EXCEEDED":
        return ": no answer in time"
    if code != "UNAVAILABLE":
        return ""
    text = details.lower()
    return next((f": {cause}" for sign, cause in _BROKEN.items() if sign in text), "")


def _retry_delay(trailers: Any) -> float | None:
    """Seconds of `google.rpc.RetryInfo` in the status's details, None when there is none that can be read."""
    status = import_module("google.rpc.status_pb2").Status()
    info = import_module("google.rpc.error_details_pb2").RetryInfo()
    for key, value in trailers:
        if key != "grpc-status-details-bin":
            continue
        try:
            status.ParseFromString(value)
            if any(detail.Unpack(info) for detail in status.details):
                return max(0.0, float(info.retry_delay.ToTimedelta().total_seconds()))
        except DecodeError:
            return None
    return None


def _trusted() -> bytes:
    """The certificates that the same destination would be trusted by over HTTP."""
    bundle = (
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    )
    try:
        return Path(bundle).read_bytes()
    except OSError as error:
        raise Misconfigured(
            [f"{bundle}: the trusted certificates cannot be read: {error.strerror}"]
        ) from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _grpcio(name: str) -> Any:
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE"
    )  # else its own lines, with the other side's words, get between ours
    try:
        import_module("google.rpc.error_details_pb2")
        return import_module("grpc")
    except ImportError:
        raise Misconfigured(
            [f"destination {name}: speaking gRPC needs grpcio, which is not installed"],
            "pip install 'dify-exporter[grpc]', or name the platform's OTLP/HTTP address",
        ) from None
