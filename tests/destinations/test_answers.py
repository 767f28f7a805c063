"""What an answer means: the table, and what never gets into a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter.destinations.answers import classify, retry_after
from exporter.destinations.base import Outcome

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
PROMPT = "the customer said that his card 4111 was stolen"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (202, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (301, Outcome.HOLD),
        (302, Outcome.HOLD),
        (307, Outcome.HOLD),
        (308, Outcome.HOLD),
        (400, Outcome.REFUSED),
        (401, Outcome.HOLD),
        (402, Outcome.HOLD),
        (403, Outcome.HOLD),
        (404, Outcome.HOLD),
        (405, Outcome.HOLD),
        (408, Outcome.RETRY),
        (409, Outcome.HOLD),
        (413, Outcome.TOO_LARGE),
        (415, Outcome.HOLD),
        (422, Outcome.REFUSED),
        (425, Outcome.RETRY),
        (429, Outcome.RETRY),
        (499, Outcome.HOLD),
        (500, Outcome.RETRY),
        (501, Outcome.RETRY),
        (502, Outcome.RETRY),
        (503, Outcome.RETRY),
        (504, Outcome.RETRY),
        (529, Outcome.RETRY),
    ],
)
def test_every_status_has_its_meaning_and_is_named(status: int, outcome: Outcome) -> None:
    answer = classify(status, {}, b"")
    assert answer.outcome is outcome
    assert f"HTTP {status}" in answer.reason


def test_rejected_spans_in_a_protobuf_answer_are_a_refusal() -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 3
    partial.partial_success.error_message = PROMPT
    answer = classify(200, PROTOBUF, partial.SerializeToString())
    assert answer.outcome is Outcome.REFUSED
    assert "3 spans" in answer.reason
    assert "card" not in answer.reason


@pytest.mark.parametrize(
    "body",
    [
        {"partialSuccess": {"rejectedSpans": "2", "errorMessage": PROMPT}},
        {"partialSuccess": {"rejectedSpans": 2}},
        {"partial_success": {"rejected_spans": 2}},
    ],
)
def test_rejected_spans_in_a_json_answer_are_a_refusal(body: dict[str, object]) -> None:
    answer = classify(200, JSON, json.dumps(body).encode())
    assert answer.outcome is Outcome.REFUSED
    assert "2 spans" in answer.reason


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b""),
        (PROTOBUF, ExportTraceServiceResponse().SerializeToString()),
        (PROTOBUF, b"\xff\xff not protobuf"),
        (JSON, b"{}"),
        (JSON, b'{"id":"job-1","name":"otel-ingestion-job","data":{}}'),
        (JSON, b"not json"),
        (JSON, b'{"partialSuccess":{"errorMessage":"a warning"}}'),
        ({}, b"ok"),
    ],
)
def test_other_bodies_of_a_200_are_acceptance(headers: dict[str, str], body: bytes) -> None:
    assert classify(200, headers, body).outcome is Outcome.ACCEPTED


def test_a_web_page_is_no_receipt() -> None:
    answer = classify(200, {"content-type": "text/html; charset=utf-8"}, b"<html>Sign in</html>")
    assert answer.outcome is Outcome.HOLD
    assert "web page" in answer.reason


def test_reasons_never_quote_the_answer() -> None:
    for status in (400, 401, 403, 404, 422, 429, 500):
        for headers, body in (
            (JSON, json.dumps({"error": PROMPT, "message": PROMPT}).encode()),
            ({"content-type": "text/plain"}, PROMPT.encode()),
            (JSON, json.dumps({"error": "sk-abcdef0123456789", "code": "lsv2_pt_0a1b2c"}).encode()),
        ):
            reason = classify(status, headers, body).reason
            assert not [word for word in ("card", "4111", "stolen", "abcdef", "0a1b2c") if word in reason]


def test_a_machine_readable_code_is_named() -> None:
    answer = classify(403, JSON, b'{"error":"org_scoped_key_requires_workspace"}')
    assert answer.outcome is Outcome.HOLD
    assert "org_scoped_key_requires_workspace" in answer.reason


def test_a_redirect_names_the_host_and_not_its_tokens() -> None:
    answer = classify(302, {"location": "https://sso.example.com/login?state=secret"}, b"")
    assert "https://sso.example.com" in answer.reason
    assert "secret" not in answer.reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("", None), ("soon", None), ("-4", None)],
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds
    assert classify(429, {"retry-after": text}, b"").retry_after == seconds


def test_retry_after_as_a_date_counts_from_the_servers_own_clock() -> None:
    server = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    headers = {
        "date": format_datetime(server, usegmt=True),
        "retry-after": format_datetime(server + timedelta(seconds=90), usegmt=True),
    }
    assert retry_after(headers) == 90.0
    headers["retry-after"] = format_datetime(server - timedelta(seconds=90), usegmt=True)
    assert retry_after(headers) == 0.0


def test_retry_after_as_a_date_without_a_servers_clock_counts_from_ours() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    seconds = retry_after({"retry-after": format_datetime(later, usegmt=True)})
    assert seconds is not None
    assert 0 < seconds <= 3600


def test_503_with_retry_after_waits_as_told() -> None:
    assert classify(503, {"retry-after": "17"}, b"").retry_after == 17.0
