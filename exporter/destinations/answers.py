"""What an answer means: one table for all destinations.

The OTLP specification forbids retries of most failures so that servers are not hammered; our rule is that nothing
is lost, so what an operator can mend (keys, address, rights) is held and asked again slowly. Reasons name the status
and our reading of it, never the answer's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import orjson
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter.destinations.base import Answer, Outcome
from exporter.destinations.http import JSON, PROTOBUF, Http
from exporter.errors import Misconfigured, Unreachable

_RETRIED = frozenset({408, 425, 429})
_REFUSED = frozenset({400, 422})
_CODE = re.compile(r"(?=.{1,64}$)[a-z]+(?:_[a-z]+)+")
_HELD = {
    401: "the keys are missing or wrong",
    403: "the keys lack a right, or the account is suspended",
    404: "no such address on this host",
    405: "this address takes no spans",
}


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The outcome of an OTLP/HTTP export by its status, headers (names lower case) and body."""
    named = _named(status)
    if 200 <= status < 300:
        return _success(named, headers, body)
    if 300 <= status < 400:
        return Answer(
            Outcome.HOLD, f"{named}: the address moved{_moved_to(headers)}; set the endpoint accordingly"
        )
    if status == 413:
        return Answer(Outcome.TOO_LARGE, named)
    if status in _REFUSED:
        return Answer(Outcome.REFUSED, named + _code(headers, body))
    if status in _RETRIED or status >= 500:
        return Answer(Outcome.RETRY, named, retry_after(headers))
    known = _HELD.get(status, "the server takes no spans in this way")
    return Answer(Outcome.HOLD, f"{named}: {known}{_code(headers, body)}", retry_after(headers))


def export(http: Http, url: str, body: bytes, duplicate_status: int | None = None) -> Answer:
    """One export request and what its answer means. Never raises for what the other side does.

    `duplicate_status` is the status with which a platform says that it holds (part of) the request already.
    """
    return send(http, url, body, PROTOBUF, duplicate_status)


def send(http: Http, url: str, body: bytes, content_type: str, duplicate_status: int | None = None) -> Answer:
    """One request of any content type and what its answer means, as `export`."""
    try:
        reply = http.post(url, body, content_type)
    except Unreachable as error:
        return Answer(Outcome.RETRY, str(error))
    except Misconfigured as error:
        return Answer(Outcome.HOLD, str(error))
    if reply.status == duplicate_status:
        return Answer(Outcome.DUPLICATE, _named(reply.status))
    return classify(reply.status, reply.headers, reply.body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`, given as a number or as a date; a date counts from the server's own `Date` where it
    is sent, so that clocks need not agree. None when absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    until = _date(text)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _success(named: str, headers: Mapping[str, str], body: bytes) -> Answer:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml"):
        return Answer(Outcome.HOLD, f"{named}: a web page answers at this address, not a receiver of spans")
    return accepted_or_rejected(named, body, media_type)


def accepted_or_rejected(named: str, body: bytes, media_type: str = PROTOBUF) -> Answer:
    """What a success means by its body: a part of the request may still have been rejected."""
    rejected = _rejected_spans(media_type, body)
    if rejected:
        return Answer(Outcome.REFUSED, f"{named}: {rejected} spans of the request were rejected")
    return Answer(Outcome.ACCEPTED, named)


def _rejected_spans(media_type: str, body: bytes) -> int:
    """`partial_success.rejected_spans` of an answer that has one; 0 for any other body."""
    if media_type == PROTOBUF:
        try:
            return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
        except DecodeError:
            return 0
    if media_type != JSON:
        return 0
    answer = _json_object(body)
    partial = answer.get("partialSuccess") or answer.get("partial_success")
    if not isinstance(partial, dict):
        return 0
    rejected = str(partial.get("rejectedSpans") or partial.get("rejected_spans") or 0)
    return int(rejected) if rejected.isdecimal() else 0


def _code(headers: Mapping[str, str], body: bytes) -> str:
    """A machine-readable code of the answer, such as `org_scoped_key_requires_workspace`. Words of lower-case letters
    joined by underscores only, so that it can be neither a sentence nor a key."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        return ""
    answer = _json_object(body)
    for name in ("code", "error_code", "error"):
        value = answer.get(name)
        if isinstance(value, str) and _CODE.fullmatch(value):
            return f" ({value})"
    return ""


def _moved_to(headers: Mapping[str, str]) -> str:
    """The host of a redirect; its path and query may hold tokens of a login page and are left out."""
    try:
        parts = urlsplit(headers.get("location", ""))
        return f" to {parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        return ""


def _json_object(body: bytes) -> dict[str, object]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _named(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
