from __future__ import annotations

import base64
import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exporter.config import WebSettings
from exporter.state.store import Store
from exporter.vendor.adapters.base import Unreadable
from exporter.vendor.push import otlp_bodies
from exporter.vendor.push.refusal import BadBody, TooMuch
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.intake_senders import SECRET, refused, stored

PROTOBUF, JSON = "application/x-protobuf", "application/json"
NANOS = 1_790_000_000_000_000_000


@pytest.fixture
def address(store: Store, ending: list[threading.Thread]) -> Iterator[str]:
    server = WebServer(build_app(store, Readiness, WebSettings()))
    yield f"http://127.0.0.1:{server.start('127.0.0.1', 0)}/v1/traces"
    ending.append(threading.Thread(target=server.stop))
    ending[-1].start()


def chat(number: int, **changes: Any) -> dict[str, Any]:
    """Attributes of a span of a model call, as the GenAI conventions name them."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": f"chatcmpl-{number}",
        "gen_ai.usage.input_tokens": 100 + number,
        "gen_ai.usage.output_tokens": 7,
    } | changes


def post(address: str, body: bytes, content_type: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(address, data=body, headers={"Content-Type": content_type, **named}, timeout=60)


def message(*spans: dict[str, Any]) -> ExportTraceServiceRequest:
    """A request of spans with these attributes, one resource and scope."""
    request = ExportTraceServiceRequest()
    outer = request.resource_spans.add()
    pair = outer.resource.attributes.add(key="service.name")
    pair.value.string_value = "gateway"
    inner = outer.scope_spans.add()
    inner.scope.name = "by hand"
    for number, named in enumerate(spans):
        span = inner.spans.add(
            name="chat gpt-4o-mini", trace_id=b"\x0a" * 16, span_id=bytes([0, *[number + 1] * 7]), kind=3,
            start_time_unix_nano=NANOS + number, end_time_unix_nano=NANOS + number + 5_000_000,
        )  # fmt: skip
        for name, value in named.items():
            kind = {int: "int_value", float: "double_value", bool: "bool_value"}.get(
                type(value), "string_value"
            )
            span.attributes.add(key=name, value=AnyValue(**{kind: value}))
    return request


def as_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON form by protobuf's own writer: ids are hexadecimal there, enums are numbers."""

    def hexed(node: Any) -> Any:
        if isinstance(node, list):
            return [hexed(item) for item in node]
        if not isinstance(node, dict):
            return node
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            name: base64.b64decode(value).hex() if name in ids else hexed(value)
            for name, value in node.items()
        }

    return hexed(MessageToDict(request, use_integers_for_enums=True))


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_spans_of_the_opentelemetry_sdk_become_vendor_calls(
    address: str, store: Store, compression: Compression
) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway"}), shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    spans = []
    for number in range(3):
        with tracer.start_as_current_span(f"chat {number}", attributes=chat(number)) as span:
            span.add_event("gen_ai.choice", {"content": SECRET})
        spans.append(span)
    with tracer.start_as_current_span("GET /") as other:
        pass
    exporter: SpanExporter = OTLPSpanExporter(endpoint=address, compression=compression)
    for _ in range(2):
        assert exporter.export([*spans, other]) is SpanExportResult.SUCCESS  # type: ignore[list-item]
    assert sorted(record.tokens.input for record in stored(store).values() if record.tokens) == [
        100,
        101,
        102,
    ]
    assert {source for source, _ in stored(store)} == {"otlp"}
    assert refused(store) == []


def test_json_and_protobuf_give_the_same_records(address: str, store: Store) -> None:
    request = message(*(chat(number) for number in range(5)))
    assert post(address + "?source=a", request.SerializeToString(), PROTOBUF).status_code == 200
    assert post(address + "?source=b", json.dumps(as_json(request)).encode(), JSON).status_code == 200
    spelled = MessageToDict(request, preserving_proto_field_name=True, use_integers_for_enums=True)
    assert post(address + "?source=c", json.dumps(spelled).encode(), JSON).ok
    found = stored(store)
    assert len(found) == 15
    for (source, identity), record in found.items():
        assert record.tokens == found["a", identity].tokens, source
        assert record.start == found["a", identity].start


def test_full_success_is_an_empty_answer_in_the_senders_encoding(address: str) -> None:
    request = message(chat(1))
    answer = post(address, gzip.compress(request.SerializeToString()), PROTOBUF, Content_Encoding="gzip")
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, b"", PROTOBUF)
    answer = post(address, json.dumps(as_json(request)).encode(), JSON + "; charset=utf-8")
    assert (answer.status_code, answer.json(), answer.headers["Content-Type"]) == (200, {}, JSON)


def test_refused_spans_are_counted_and_named_and_the_rest_kept(address: str, store: Store) -> None:
    request = message(chat(1), chat(2), chat(3), {"http.request.method": "GET"})
    del request.resource_spans[0].scope_spans[0].spans[1].attributes[2:]  # a model call without its model
    answer = post(address, request.SerializeToString(), PROTOBUF)
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    assert told.error_message.startswith("span 2: ")
    assert len(stored(store)) == 2
    ((source, place, _),) = refused(store)
    assert source == "otlp"
    assert place.endswith("entry 2")
    partial = post(address, json.dumps(as_json(request)).encode(), JSON).json()["partialSuccess"]
    assert partial == {"rejectedSpans": "1", "errorMessage": told.error_message}


def test_spans_of_nothing_but_bad_ones_are_a_partial_success_of_none(address: str) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [17, None]}, {"spans": "x"}, []]}, 5]}
    answer = post(address, json.dumps(body).encode(), JSON)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "5"


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"\x0a\x02\x12\x00", b"\x0a\x00\x0a\x00"])
def test_an_empty_protobuf_request_is_fine(address: str, body: bytes) -> None:
    assert post(address, body, PROTOBUF).status_code == 200


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"resourceSpans": []}', b'{"resourceSpans": null}'])
def test_an_empty_json_request_is_fine(address: str, body: bytes) -> None:
    assert post(address, body, JSON).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"\x0a",
        b"\x0a\xff",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0b",
        b"\x0a\x03\x12\x05x",
        b"\xff" * 20,
        b"\x09x",
    ],
)
def test_what_is_no_protobuf_is_a_bad_request_in_protobuf(address: str, store: Store, body: bytes) -> None:
    answer = post(address, body, PROTOBUF)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == PROTOBUF
    words = b"the body is not a valid ExportTraceServiceRequest in protobuf"
    assert answer.content == b"\x12" + bytes([len(words)]) + words, "google.rpc.Status with field 2, message"
    assert stored(store) == {}


@pytest.mark.parametrize(
    "body", [b"", b"\x0a\x00", b"nonsense", b"{", b'{"a":\xff}', b"[" * 99_999 + b"]" * 99_999]
)
def test_what_is_no_json_is_a_bad_request_in_json(address: str, body: bytes) -> None:
    answer = post(address, body, JSON)
    assert answer.status_code == 400
    assert "body" in answer.json()["message"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/grpc", "application/x-ndjson"])
def test_another_content_type_is_refused_with_those_that_are_understood(
    address: str, content_type: str
) -> None:
    answer = post(address, b"{}", content_type)
    assert answer.status_code == 415
    assert PROTOBUF in answer.text
    assert JSON in answer.text


def test_a_span_that_is_broken_inside_is_refused_and_the_rest_kept(address: str, store: Store) -> None:
    good = message(chat(1)).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    broken = [
        b"\x4a\x05xx",
        b"\x2a\x02\xff\xfe",
        b"\x4b",
        b"\x4a\x02\x0a\x00" * 100_001,
        b"\x2a\x80\x80\x80\x02" + b"x" * 2**22,
    ]
    spans = b"".join(b"\x12" + varint(len(span)) + span for span in (good, *broken))
    scope = b"\x12" + varint(len(spans)) + spans
    answer = post(address, b"\x0a" + varint(len(scope)) + scope, PROTOBUF)
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == len(broken)
    assert len(stored(store)) == 1


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 500_001,
        b"\x0a" + varint(2 * 500_001) + b"\x12\x00" * 500_001,
        b"\x0a" + varint(4 + 2 * 20_001) + b"\x12" + varint(2 * 20_001) + b"\x12\x00" * 20_001,
    ],
)
def test_a_request_of_nothing_but_parts_is_refused(body: bytes) -> None:
    with pytest.raises(TooMuch):
        list(otlp_bodies.spans_of_protobuf(body))


VALUES = st.recursive(
    st.builds(AnyValue, string_value=st.text(max_size=5))
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats(allow_nan=False, allow_infinity=False))
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, bytes_value=st.binary(max_size=5))
    | st.just(AnyValue()),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: AnyValue(array_value={"values": items}))
        | st.lists(inner, max_size=3).map(
            lambda items: AnyValue(kvlist_value={"values": [{"key": "k", "value": item} for item in items]})
        )
    ),
    max_leaves=6,
)


@st.composite
def requests_of_spans(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 3))):
        outer = request.resource_spans.add(schema_url=draw(st.text(max_size=3)))
        outer.resource.attributes.add(key="r", value=draw(VALUES))
        for _ in range(draw(st.integers(0, 3))):
            inner = outer.scope_spans.add()
            inner.scope.name = draw(st.text(max_size=3))
            for _ in range(draw(st.integers(0, 3))):
                span = inner.spans.add(name=draw(st.text(max_size=4)))
                span.trace_id, span.span_id = draw(st.binary(min_size=16, max_size=16)), b"\x01" * 8
                span.start_time_unix_nano = draw(st.integers(0, 2**64 - 1))
                span.status.code = draw(st.integers(0, 2))
                for _ in range(draw(st.integers(0, 2))):
                    span.attributes.add(key=draw(st.text(max_size=3)), value=draw(VALUES))
                    event = span.events.add(name=draw(st.text(max_size=3)), time_unix_nano=5)
                    event.attributes.add(key="e", value=draw(VALUES))
    return request


@settings(deadline=None, max_examples=60)
@given(requests_of_spans())
def test_every_span_is_decoded_as_protobufs_own_json_writer_has_it(
    request: ExportTraceServiceRequest,
) -> None:
    """Fields that are absent there and empty here are the same."""
    whole = as_json(request)
    expected = [
        (span, outer.get("resource"), inner.get("scope"))
        for outer in whole.get("resourceSpans", [])
        for inner in outer.get("scopeSpans", [])
        for span in inner.get("spans", [])
    ]
    found = [alone for _, alone in otlp_bodies.spans_of_protobuf(request.SerializeToString())]
    assert len(found) == len(expected)
    for alone, (span, resource, scope) in zip(found, expected, strict=True):
        outer = alone["resourceSpans"][0]  # type: ignore[index]
        inner = outer["scopeSpans"][0]
        assert _full(inner["spans"][0]) == _full(span)
        assert _full(outer["resource"]) == _full(resource)
        assert _full(inner["scope"]) == _full(scope)
    again = [alone for _, alone in otlp_bodies.spans_of_json(json.dumps(whole).encode())]
    assert [_full(item) for item in again] == [_full(item) for item in found]


def _full(node: Any) -> Any:
    """Without empty parts."""
    if isinstance(node, list):
        return [_full(item) for item in node]
    if not isinstance(node, dict):
        return node
    is_value = {
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "bytesValue",
        "arrayValue",
        "kvlistValue",
    }
    return {
        name: _full(value)
        for name, value in node.items()
        if name in is_value or _full(value) not in ({}, [], "", 0, "0", None)
    }


def is_read_or_refused(body: bytes) -> None:
    for read in (otlp_bodies.spans_of_protobuf, otlp_bodies.spans_of_json):
        with contextlib.suppress(BadBody):
            for _, span in read(body):
                assert isinstance(span, dict | Unreadable)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    is_read_or_refused(body)


@settings(deadline=None, max_examples=60)
@given(requests_of_spans(), st.data())
def test_any_change_of_a_valid_request_is_read_or_refused(
    request: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    body = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    is_read_or_refused(bytes(body))
