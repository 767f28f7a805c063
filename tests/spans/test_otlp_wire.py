"""The wire: our bytes against opentelemetry-proto's decoder and the SDK's own encoder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace import Status as SdkStatus

from exporter.model import Status as StepStatus
from exporter.spans import otlp
from exporter.spans.langfuse import LangfuseProjector
from exporter.spans.langsmith import LangSmithProjector
from exporter.spans.plain import PlainProjector
from tests.contract.twin_server import plain
from tests.spans import assessed_traces as traces
from tests.spans.decoded import full, seen

RESOURCE = {"service.name": "dify", "deployment.environment.name": "staging"}
PROJECTORS = [PlainProjector(full()), LangfuseProjector(full()), LangSmithProjector(full())]
NAMES = ["plain", "langfuse", "langsmith"]
KINDS = {Span.SPAN_KIND_INTERNAL: SpanKind.INTERNAL, Span.SPAN_KIND_CLIENT: SpanKind.CLIENT}


def values(holder: Any) -> dict[str, Any]:
    return {item.key: plain(item.value) for item in holder.attributes}


def sdk_span(span: Any) -> ReadableSpan:
    """The same content as an object of the OpenTelemetry SDK."""

    def context(span_id: bytes, trace_id: bytes = span.trace_id) -> SpanContext:
        return SpanContext(int.from_bytes(trace_id), int.from_bytes(span_id), False, TraceFlags(0))

    failed = span.status.code == Status.STATUS_CODE_ERROR
    return ReadableSpan(
        span.name,
        context=context(span.span_id),
        parent=context(span.parent_span_id) if span.parent_span_id else None,
        resource=Resource(RESOURCE),
        attributes=values(span),
        events=[Event(event.name, values(event), event.time_unix_nano) for event in span.events],
        links=[Link(context(link.span_id, link.trace_id)) for link in span.links],
        kind=KINDS[span.kind],
        status=SdkStatus(StatusCode.ERROR, span.status.message or None)
        if failed
        else SdkStatus(StatusCode.UNSET),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=InstrumentationScope("dify-exporter", "0.1.0"),
    )


def comparable(request: Any) -> Any:
    """A request without what order or the SDK alone adds: sorted attributes, no flags."""
    for resource_spans in request.resource_spans:
        for holder in (
            resource_spans.resource,
            *(s for scope in resource_spans.scope_spans for s in scope.spans),
        ):
            found = sorted(holder.attributes, key=lambda item: item.key)
            del holder.attributes[:]
            holder.attributes.extend(found)
        for span in (s for scope in resource_spans.scope_spans for s in scope.spans):
            span.ClearField("flags")
            if not span.status.code:
                span.ClearField("status")  # the SDK writes an empty one, which means the same
            for link in span.links:
                link.ClearField("flags")
    return request


@pytest.mark.parametrize("project", PROJECTORS, ids=NAMES)
def test_request_means_what_the_sdk_encodes_for_the_same_spans(project: Any) -> None:
    assessed = traces.chatflow()
    failed = traces.one_call(50)
    steps = failed.trace.steps
    broken = traces.model_step(51, steps[0].span_id, status=StepStatus.ERROR, error="[openai] Rate limit é")
    failed = traces.AssessedTrace(traces.trace(50, (steps[0], broken)), failed.assessments, failed.verdict)
    framed = [otlp.frame(project(assessed)), otlp.frame(project(failed))]
    ours = otlp.request(otlp.resource(RESOURCE), otlp.scope("dify-exporter", "0.1.0"), framed)
    spans = [item.span for item in seen([*project(assessed), *project(failed)])]

    assert len(spans) == 14
    theirs = encode_spans([sdk_span(span) for span in spans])
    assert comparable(ExportTraceServiceRequest.FromString(ours)) == comparable(theirs)


@pytest.mark.parametrize("project", PROJECTORS, ids=NAMES)
def test_same_trace_gives_the_same_bytes(project: Any) -> None:
    again = type(project)(full())
    assert project(traces.chatflow()) == again(traces.chatflow())


@pytest.mark.parametrize("project", PROJECTORS, ids=NAMES)
def test_root_comes_first_and_every_other_span_has_a_parent_that_is_sent(project: Any) -> None:
    orphan = traces.step(70, parent="00000000deadbeef")
    root = traces.step(60, traces.StepKind.WORKFLOW)
    assessed = traces.AssessedTrace(traces.trace(60, (root, orphan)), (), traces.Verdict.UNVERIFIED)
    for spans in (seen(project(assessed)), seen(project(traces.chatflow()))):
        ids = {item.span.span_id for item in spans}
        assert not spans[0].span.parent_span_id
        assert all(item.span.parent_span_id in ids for item in spans[1:])
        assert len(ids) == len(spans)


@pytest.mark.parametrize(("project", "most"), list(zip(PROJECTORS, (64, 64, 74), strict=True)), ids=NAMES)
def test_a_span_stays_far_below_the_limit_of_collectors(project: Any, most: int) -> None:
    of_book = traces.Money(traces.Decimal("0.00005"), "USD", "operator: prices.entries[0]")
    all_priced = traces.one_call(local=traces.local(cost=of_book), vendor=traces.vendor(cost=of_book))
    for item in (*seen(project(traces.chatflow())), *seen(project(all_priced))):
        names = [attribute.key for attribute in item.span.attributes]
        assert len(names) <= most
        assert len(set(names)) == len(names)


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_framed_spans_come_back_whole(spans: list[bytes]) -> None:
    assert otlp.split(otlp.frame(spans)) == spans


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.data())
def test_cut_frames_are_refused_never_guessed(spans: list[bytes], data: st.DataObject) -> None:
    framed = otlp.frame(spans)
    at = data.draw(st.integers(1, len(framed) - 1))
    try:
        found = otlp.split(framed[:at])
    except ValueError:
        return
    assert found == spans[: len(found)]


@example("key\x00", "text\x00", 2**63)
@example("key\ud800", "text\ud800\udc00\x00", -(2**63) - 1)
@given(st.text(), st.text(), st.integers())
def test_any_text_and_number_can_be_encoded(key: str, text: str, number: int) -> None:
    span = Span()
    otlp.put(span.attributes.add, key, text)
    otlp.put(span.attributes.add, "number", number)
    back = Span.FromString(span.SerializeToString())
    found = plain(back.attributes[1].value)
    assert found == number or found == str(number)
    assert "\x00" not in back.attributes[0].key + back.attributes[0].value.string_value


@given(st.text(alphabet=st.characters(categories=["Cs", "L", "N"]), max_size=40))
def test_halves_of_characters_never_break_a_span(text: str) -> None:
    span = Span()
    otlp.put_text(span.attributes.add, "k", text)
    otlp.put_texts(span.attributes.add, "l", [text])
    kept = Span.FromString(span.SerializeToString()).attributes[0].value.string_value
    assert len(kept) <= len(text)
    assert kept.encode().decode() == kept


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_left_out(value: float) -> None:
    span = Span()
    otlp.put(span.attributes.add, "ratio", value)
    assert len(span.attributes) == 0


def test_values_keep_their_types() -> None:
    span = Span()
    for value in (True, 7, 0.5, "text"):
        otlp.put(span.attributes.add, "k", value)
    kinds = [item.value.WhichOneof("value") for item in span.attributes]
    assert kinds == ["bool_value", "int_value", "double_value", "string_value"]


def test_an_end_before_its_start_is_moved_to_the_start() -> None:
    span = otlp.begin(b"\x01" * 16, "00000000000000aa", None, "n", otlp.INTERNAL, 2_000_000, 1_000_000)
    assert span.end_time_unix_nano == span.start_time_unix_nano == 2_000_000_000
    early = otlp.begin(b"\x01" * 16, "00000000000000aa", None, "n", otlp.INTERNAL, -5, -9)
    assert early.start_time_unix_nano == early.end_time_unix_nano == 0
