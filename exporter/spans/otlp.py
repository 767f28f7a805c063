"""The OTLP wire: protobuf spans built in place, and requests made by joining bytes that are already serialised.

Wire facts (opentelemetry-proto, trace.proto and trace_service.proto): request{1: ResourceSpans{1: Resource,
2: ScopeSpans{1: Scope, 2: Span…}}}, all length-delimited; fields of one message may be joined in any order, so a span
may be written in several pieces. Building in place costs a twelfth of the SDK's spans and encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter.model import Micros
from exporter.spans.text import clean

INTERNAL = Span.SPAN_KIND_INTERNAL
CLIENT = Span.SPAN_KIND_CLIENT

Add = Callable[[], Any]
"""`attributes.add` of a protobuf message: makes one more attribute and returns it."""

_FIELD_1 = b"\x0a"
_FIELD_2 = b"\x12"


# ── attributes ──────────────────────────────────────────────────────────────────────────────────────────────


def put_text(add: Add, key: str, text: str) -> None:
    """One text attribute; what no store can hold is replaced (see `text.clean`)."""
    attribute = add()
    attribute.key = key
    if "\x00" in text:
        text = clean(text)
    try:
        attribute.value.string_value = text
    except UnicodeEncodeError:
        attribute.value.string_value = clean(text)


def put_int(add: Add, key: str, value: int) -> None:
    """One integer attribute; beyond 64 bits it becomes text rather than another number."""
    attribute = add()
    attribute.key = key
    try:
        attribute.value.int_value = value
    except ValueError:
        attribute.value.string_value = str(value)


def put_float(add: Add, key: str, value: float) -> None:
    """One floating point attribute; NaN and infinities are left out, receivers drop or refuse them."""
    if math.isfinite(value):
        attribute = add()
        attribute.key = key
        attribute.value.double_value = value


def put_flag(add: Add, key: str, value: bool) -> None:
    """One boolean attribute."""
    attribute = add()
    attribute.key = key
    attribute.value.bool_value = value


def put_texts(add: Add, key: str, texts: Iterable[str]) -> None:
    """One attribute that is a list of texts, which may be empty."""
    attribute = add()
    attribute.key = key
    attribute.value.array_value.SetInParent()
    more = attribute.value.array_value.values.add
    for text in texts:
        more().string_value = clean(text)


def put(add: Add, key: str, value: str | int | float | bool) -> None:
    """One attribute of the value's own type, under a name we did not choose."""
    key = clean(key)
    if isinstance(value, str):
        put_text(add, key, value)
    elif isinstance(value, bool):
        put_flag(add, key, value)
    elif isinstance(value, int):
        put_int(add, key, value)
    else:
        put_float(add, key, value)


def piece(write: Callable[[Add], None]) -> bytes:
    """Attributes serialised once, to be joined to the bytes of every span that carries them."""
    span = Span()
    write(span.attributes.add)
    return bytes(span.SerializeToString())


# ── spans ───────────────────────────────────────────────────────────────────────────────────────────────────


def begin(
    trace_id: bytes,
    span_id: str,
    parent_id: str | None,
    name: str,
    kind: Span.SpanKind.ValueType,
    started_at: Micros,
    ended_at: Micros,
) -> Any:
    """A protobuf Span with identity and times; the end is never before the start, the start never before 1970."""
    span = Span()
    span.trace_id = trace_id
    span.span_id = bytes.fromhex(span_id)
    if parent_id is not None:
        span.parent_span_id = bytes.fromhex(parent_id)
    span.name = clean(name)
    span.kind = kind
    start = started_at * 1000 if started_at > 0 else 0
    end = ended_at * 1000
    span.start_time_unix_nano = start
    span.end_time_unix_nano = end if end > start else start
    return span


def fail(span: Any, message: str | None) -> None:
    """Mark a span as failed, with the error's text as far as it may be shown."""
    span.status.code = Status.STATUS_CODE_ERROR
    if message:
        span.status.message = clean(message)


def succeed(span: Any) -> None:
    """Mark a span as gone well, for platforms that tell that from "nothing is known"."""
    span.status.code = Status.STATUS_CODE_OK


def put_link(span: Any, trace_id: str) -> None:
    """A link to the root span of another trace; a root's span id is the lower half of its record's UUID."""
    link = span.links.add()
    link.trace_id = bytes.fromhex(trace_id)
    link.span_id = link.trace_id[8:]


def put_event(span: Any, name: str, at: Micros) -> None:
    """An event without attributes."""
    span.events.add(name=name, time_unix_nano=at * 1000)


def put_exception(span: Any, message: str) -> None:
    """The `exception` event at the span's end; LangSmith takes error text from it, not from the status."""
    event = span.events.add()
    event.name = "exception"
    event.time_unix_nano = span.end_time_unix_nano
    put_text(event.attributes.add, "exception.message", message)


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────


def resource(attributes: Mapping[str, str]) -> bytes:
    """A serialised Resource, once per destination."""
    message = Resource()
    for key, value in attributes.items():
        put(message.attributes.add, key, value)
    return bytes(message.SerializeToString())


def scope(name: str, version: str) -> bytes:
    """A serialised InstrumentationScope, once per destination."""
    return bytes(InstrumentationScope(name=name, version=version).SerializeToString())


def frame(spans: Iterable[bytes]) -> bytes:
    """Serialised spans as consecutive `ScopeSpans.spans` fields: what a unit holds and a request is joined from."""
    return b"".join(part for span in spans for part in (_FIELD_2, _varint(len(span)), span))


def split(framed: bytes) -> list[bytes]:
    """The serialised spans of `frame`. Raises ValueError when the bytes are not what `frame` makes."""
    spans: list[bytes] = []
    at = 0
    while at < len(framed):
        if framed[at] != _FIELD_2[0]:
            raise ValueError(f"byte {at} does not begin a span")
        length, at = _read_varint(framed, at + 1)
        if at + length > len(framed):
            raise ValueError("the last span is cut short")
        spans.append(framed[at : at + length])
        at += length
    return spans


def request(resource_bytes: bytes, scope_bytes: bytes, framed: Iterable[bytes]) -> bytes:
    """An ExportTraceServiceRequest with one resource, one scope and the spans of all `frame` results."""
    spans = b"".join(framed)
    scope_spans = _field(_FIELD_1, scope_bytes) + spans
    resource_spans = _field(_FIELD_1, resource_bytes) + _field(_FIELD_2, scope_spans)
    return _field(_FIELD_1, resource_spans)


def text_attributes(span: Any, keys: Sequence[str]) -> dict[str, str]:
    """The text attributes of a parsed span among `keys`: what read-back needs to know of our own bytes."""
    return {item.key: item.value.string_value for item in span.attributes if item.key in keys}


def attributes(span: Any) -> dict[str, Any]:
    """All attributes of a parsed span; lists become Python lists."""
    return {item.key: _plain(item.value) for item in span.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def parse(span: bytes) -> Any:
    """The protobuf Span of serialised bytes."""
    return Span.FromString(span)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a length is cut short")
