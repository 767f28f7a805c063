"""What every line of an Envoy-style JSON access log says about its request, whatever gateway wrote it.

Reads the names of the default formats of Envoy Gateway, Istio and Higress; both `_` and `-` are known.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model import Micros
from exporter.vendor.adapters.entries import Entry, text, whole
from exporter.vendor.adapters.moments import shifted, ticks, written

_BROKEN = frozenset({"DC", "UC", "UPE", "UT", "SI", "LR", "UR", "DT", "DPE"})
"""Envoy's response flags of a request that did not get its whole answer (access logging, command operators)."""


@dataclass(frozen=True, slots=True)
class Access:
    """One request as the access log tells it."""

    id: str | None
    started_at: Micros | None
    ended_at: Micros | None
    http_status: int | None
    path: str | None
    is_broken: bool


def access_of(entry: Entry) -> Access:
    """The request of an access log line. Raises Unfit."""
    started_at = written(entry, "start_time", "startTime", "time", "@timestamp", "timestamp")
    code = whole(entry, "response_code", "status", "response_status")
    flags = (text(entry, "response_flags") or "").split(",")
    return Access(
        id=text(entry, "request_id", "x-request-id", "x_request_id", "trace_id"),
        started_at=started_at,
        ended_at=shifted(started_at, ticks(entry, "duration", "duration_ms", per_second=1000)),
        http_status=code or None,
        path=text(entry, "path", "x-envoy-origin-path", "original_path", ":path"),
        is_broken=not _BROKEN.isdisjoint(flags),
    )


def status_of(http_status: int | None, is_broken: bool, has_usage: bool) -> str:
    """A failure that left usage behind is an answer that broke off."""
    if (http_status or 200) >= 400 or http_status == 0:
        return "aborted" if has_usage else "error"
    return "aborted" if is_broken else "ok"
