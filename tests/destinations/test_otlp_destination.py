"""Any OTLP receiver, played by a server that reads what it gets."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from exporter.destinations.base import Confirmation, Outcome
from tests.contract.twin_server import attributes
from tests.destinations.destination_units import RESOURCE, plain, unit
from tests.destinations.test_http_seam import say, server
from tests.spans import assessed_traces as traces


class Receiver:
    """Keeps the requests it decoded, and answers as told."""

    def __init__(self, rejected: int = 0) -> None:
        self.rejected = rejected
        self.requests: list[Any] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    def __call__(self, handler: Any, body: bytes) -> None:
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        self.paths.append(handler.path)
        self.headers.append(dict(handler.headers))
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.rejected
        say(handler, 200, answer.SerializeToString(), Content_Type="application/x-protobuf")


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces", "/v1/traces/"])
def test_traces_go_to_the_path_of_the_specification(suffix: str) -> None:
    receiver = Receiver()
    with server(receiver) as url:
        destination = plain(url + suffix, headers={"x-scope-orgid": "team-a"})
        units = [unit(destination, traces.chatflow(1000 * number), number) for number in (1, 2)]
        assert destination.send(units).outcome is Outcome.ACCEPTED
    assert receiver.paths == ["/v1/traces"]
    assert receiver.headers[0]["x-scope-orgid"] == "team-a"
    (resource_spans,) = receiver.requests[0].resource_spans
    (scope_spans,) = resource_spans.scope_spans
    assert attributes(resource_spans.resource) == RESOURCE
    assert scope_spans.scope.name == "dify-exporter"
    assert len(scope_spans.spans) == 24
    assert len({(span.trace_id, span.span_id) for span in scope_spans.spans}) == 24


def test_rejected_spans_are_a_refusal_although_the_status_is_200() -> None:
    with server(Receiver(rejected=1)) as url:
        destination = plain(url)
        assert destination.send([unit(destination, traces.one_call())]).outcome is Outcome.REFUSED


def test_check_sends_no_span() -> None:
    receiver = Receiver()
    with server(receiver) as url:
        (line,) = plain(url).check()
    assert line.ok
    assert (
        sum(len(scope.spans) for item in receiver.requests[0].resource_spans for scope in item.scope_spans)
        == 0
    )
    (line,) = plain(url).check()
    assert not line.ok
    assert line.hint


def test_check_tells_a_web_page_from_a_receiver() -> None:
    def page(handler: Any, body: bytes) -> None:
        say(handler, 200, b"<html></html>", Content_Type="text/html")

    with server(page) as url:
        (line,) = plain(url).check()
    assert not line.ok
    assert "web page" in line.seen


def test_the_answer_is_the_receipt_and_nothing_can_be_asked() -> None:
    destination = plain("http://127.0.0.1:1")
    assert destination.confirmation is Confirmation.AT_ONCE
    assert destination.missing([unit(destination, traces.one_call())]) is None
    assert destination.link("ab" * 16) is None
    assert destination.corrects is False
