"""The spans of an OTLP/HTTP request, protobuf or JSON, in the one form that the adapter "otlp" reads: OTLP's JSON.

Each span comes alone, with its resource and scope around it, so that it can be named when it is refused. Protobuf is
first only cut into spans, because a message of empty messages takes many times its bytes once it is decoded.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.push import json_bodies
from exporter.vendor.push.refusal import BadBody, TooMuch

LONGEST_SPAN_BYTES = 4 * 2**20
"""As much as a collector takes in one gRPC message."""

MOST_VALUES = 100_000
"""Attributes and parts of attributes of one span; more are refused."""

_RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE, _SPANS = 1, 1, 2, 1, 2
_LEVELS = (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), ("spans",))
"""How JSON senders name what a request, a ResourceSpans and a ScopeSpans hold; some write the names of the fields."""

_MOST_FIELDS = 500_000  # outside the spans; each takes a microsecond
_BYTES_FIELD = 2
_FIXED_BYTES = {1: 8, 5: 4}
_NO_PROTOBUF = "the body is not a valid ExportTraceServiceRequest in protobuf"

Range = tuple[int, int]
T = TypeVar("T")


def spans_of_json(body: bytes | bytearray) -> Iterator[tuple[int, object]]:
    """Numbered spans of a JSON body. Raises BadBody."""
    requests = json_bodies.entries(body)
    return _numbered(span for _, request in requests for span in _json_spans(request))


def spans_of_protobuf(body: bytes | bytearray) -> Iterator[tuple[int, object]]:
    """Numbered spans of a protobuf body. Raises BadBody, TooMuch."""
    places = [place for _, place in _numbered(_cut(memoryview(body)))]
    return enumerate((_protobuf_span(body, *place) for place in places), start=1)


def _numbered(spans: Iterable[T]) -> Iterator[tuple[int, T]]:
    for number, span in enumerate(spans, start=1):
        if number > json_bodies.MOST_ENTRIES:
            raise TooMuch(f"more than {json_bodies.MOST_ENTRIES} spans in one body; send smaller batches")
        yield number, span


def _json_spans(node: object, around: tuple[Mapping[str, Any], ...] = ()) -> Iterator[object]:
    """The spans below a request, a ResourceSpans or a ScopeSpans; `around` are the nodes that it stands in."""
    if isinstance(node, Unreadable):
        yield node
    elif not isinstance(node, Mapping):
        yield Unreadable("something in the OTLP request should be an object and is not")
    elif len(around) == len(_LEVELS):
        yield _alone(node, around[1].get("resource"), around[2].get("scope"))
    else:
        names = _LEVELS[len(around)]
        items: object = next((node[name] for name in names if node.get(name) is not None), [])
        if not isinstance(items, list):
            yield Unreadable(f"{names[0]} is not an array")
            return
        for item in items:
            yield from _json_spans(item, (*around, node))


def _alone(span: object, resource: object, scope: object) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {"resource": resource or {}, "scopeSpans": [{"scope": scope or {}, "spans": [span]}]}
        ]
    }


def _cut(body: memoryview) -> Iterator[tuple[Range, Range | None, Range | None]]:
    """Where each span stands, and its resource and scope."""
    passed = count(1)
    for outer in _parts(body, (0, len(body)), _RESOURCE_SPANS, passed):
        resource = _last(_parts(body, outer, _RESOURCE, passed))
        for inner in _parts(body, outer, _SCOPE_SPANS, passed):
            scope = _last(_parts(body, inner, _SCOPE, passed))
            for span in _parts(body, inner, _SPANS, passed):
                yield span, resource, scope


def _last(ranges: Iterable[Range]) -> Range | None:
    found = None
    for item in ranges:
        found = item
    return found


def _parts(body: memoryview, within: Range, wanted: int, passed: Iterator[int]) -> Iterator[Range]:
    """The messages of one field of a message (protobuf wire format); `passed` counts the fields of the whole body.

    Raises BadBody, TooMuch.
    """
    position, end = within
    while position < end:
        if next(passed) > _MOST_FIELDS:
            raise TooMuch(f"more than {_MOST_FIELDS} parts in one body; send smaller batches")
        tag, position = _varint(body, position, end)
        kind = tag & 7
        if kind == 0:
            _, position = _varint(body, position, end)
            continue
        size, position = (
            (_FIXED_BYTES[kind], position) if kind in _FIXED_BYTES else _size(body, kind, position, end)
        )
        if position + size > end:
            raise BadBody(_NO_PROTOBUF)
        if kind == _BYTES_FIELD and tag >> 3 == wanted:
            yield position, position + size
        position += size


def _size(body: memoryview, kind: int, position: int, end: int) -> tuple[int, int]:
    if kind != _BYTES_FIELD:
        raise BadBody(_NO_PROTOBUF)
    return _varint(body, position, end)


def _varint(body: memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = body[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise BadBody(_NO_PROTOBUF)


def _protobuf_span(
    body: bytes | bytearray, span: Range, resource: Range | None, scope: Range | None
) -> object:
    places = [place for place in (span, resource, scope) if place]
    if sum(end - start for start, end in places) > LONGEST_SPAN_BYTES:
        return Unreadable(f"a span, with its resource, of more than {LONGEST_SPAN_BYTES} bytes")
    values = _Values()
    try:
        return _alone(
            values.span(Span.FromString(_bytes(body, span))),
            {"attributes": values.attributes(Resource.FromString(_bytes(body, resource)).attributes)},
            values.scope(InstrumentationScope.FromString(_bytes(body, scope))),
        )
    except DecodeError:
        return Unreadable("not a valid span in protobuf")
    except TooMuch as problem:
        return Unreadable(str(problem))


def _bytes(body: bytes | bytearray, place: Range | None) -> bytes:
    return bytes(body[place[0] : place[1]]) if place else b""


class _Values:
    """Decoded messages in OTLP's JSON form (ids in hexadecimal, 64-bit numbers as text), counting what they hold."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def span(self, span: Span) -> dict[str, Any]:
        """What evidence is made of; links are left out."""
        return {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "parentSpanId": span.parent_span_id.hex(),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": self.attributes(span.attributes),
            "events": [self._event(event) for event in self._counted(span.events)],
            "status": {"code": span.status.code, "message": span.status.message},
        }

    def scope(self, scope: InstrumentationScope) -> dict[str, Any]:
        """Name, version and attributes."""
        return {"name": scope.name, "version": scope.version, "attributes": self.attributes(scope.attributes)}

    def attributes(self, items: Iterable[KeyValue]) -> list[dict[str, Any]]:
        """Pairs of key and value."""
        return [{"key": item.key, "value": self._value(item.value)} for item in self._counted(items)]

    def _event(self, event: Span.Event) -> dict[str, Any]:
        return {
            "timeUnixNano": str(event.time_unix_nano),
            "name": event.name,
            "attributes": self.attributes(event.attributes),
        }

    def _value(self, value: AnyValue) -> dict[str, Any]:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return {
                "arrayValue": {
                    "values": [self._value(item) for item in self._counted(value.array_value.values)]
                }
            }
        if kind == "kvlist_value":
            return {"kvlistValue": {"values": self.attributes(value.kvlist_value.values)}}
        if kind == "bytes_value":
            return {"bytesValue": base64.b64encode(value.bytes_value).decode("ascii")}
        if kind == "int_value":
            return {"intValue": str(value.int_value)}
        names = {"string_value": "stringValue", "bool_value": "boolValue", "double_value": "doubleValue"}
        return {names[kind]: getattr(value, kind)} if kind in names else {}

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._left -= 1
            if self._left < 0:
                raise TooMuch(f"a span with more than {MOST_VALUES} attributes")
            yield item
