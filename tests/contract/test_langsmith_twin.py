"""The LangSmith twin can fail: it refuses what LangSmith refuses and notices what would be misread."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract.langsmith_twin import API_KEY, LangSmithTwin, project_id

HEADERS = {"x-api-key": API_KEY, "Content-Type": "application/x-protobuf", "Langsmith-Project": "p"}
START = "20261123T185320{:06}Z"
START_NS = 1_795_460_000_000_000_000
DELETE = object()


def run_id(number: int) -> str:
    return str(UUID(int=(START_NS // 1_000_000) << 80 | 0x7 << 76 | 0b10 << 62 | number))


def span(number: int, parent: int | None = None, **changes: Any) -> Span:
    """A run that keeps every rule, unless changed; its parent is a root."""
    own = START.format(number) + run_id(number)
    found: dict[str, Any] = {
        "langsmith.span.id": run_id(number),
        "langsmith.trace.id": run_id(number if parent is None else parent),
        "langsmith.span.dotted_order": own
        if parent is None
        else f"{START.format(parent)}{run_id(parent)}.{own}",
        "langsmith.span.kind": "chain",
        **({} if parent is None else {"langsmith.span.parent_id": run_id(parent)}),
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    made = Span(
        trace_id=b"\x01" * 16,
        span_id=number.to_bytes(8),
        parent_span_id=b"" if parent is None else parent.to_bytes(8),
        name=f"run {number}",
        start_time_unix_nano=START_NS + number * 1000,
        end_time_unix_nano=START_NS + 10**9,
    )
    for key, value in found.items():
        if value is not DELETE:
            made.attributes.add(key=key).value.string_value = value
    return made


def post(twin: LangSmithTwin, *spans: Span, **headers: str) -> requests.Response:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return requests.post(
        f"{twin.url}/otel/v1/traces",
        data=request.SerializeToString(),
        headers={**HEADERS, **headers},
        timeout=10,
    )


def query(twin: LangSmithTwin, **question: Any) -> requests.Response:
    return requests.post(f"{twin.url}/runs/query", json=question, headers={"x-api-key": API_KEY}, timeout=10)


def test_a_correct_trace_is_stored_and_its_project_made() -> None:
    with LangSmithTwin() as twin:
        assert post(twin, span(2, 1), span(1)).status_code == 200
        projects = requests.get(
            f"{twin.url}/sessions", params={"name": "p"}, headers=HEADERS, timeout=10
        ).json()
        assert [project["id"] for project in projects] == [project_id("p")]
        runs = query(twin, session=[project_id("p")], id=[run_id(1), run_id(2)]).json()["runs"]
        assert {run["id"] for run in runs} == {run_id(1), run_id(2)}
        assert twin.violations == []


def test_one_known_run_refuses_the_whole_request() -> None:
    with LangSmithTwin() as twin:
        post(twin, span(1))
        assert post(twin, span(1), span(2, 1)).status_code == 409
        assert set(twin.runs) == {run_id(1)}
        assert post(twin, span(2, 1)).status_code == 200


@pytest.mark.parametrize(
    "bad",
    [
        span(1, langsmith__span__id=DELETE),
        span(1, langsmith__trace__id=DELETE),
        span(1, langsmith__span__dotted_order=DELETE),
        span(1, langsmith__span__id="not-a-uuid"),
        span(1, langsmith__span__dotted_order="2026-11-23T18:53:20Z" + run_id(1)),
        span(1, langsmith__span__dotted_order=START.format(1) + run_id(2)),
        span(1, langsmith__trace__id=run_id(2)),
        span(2, 1, langsmith__span__parent_id=run_id(3)),
        span(2, 1, langsmith__span__dotted_order=START.format(2) + run_id(2)),
        span(1, 2),  # starts before its parent
    ],
)
def test_ids_and_order_that_disagree_are_refused(bad: Span) -> None:
    with LangSmithTwin() as twin:
        assert post(twin, bad).status_code == 400
        assert twin.runs == {}


def test_a_child_waits_for_its_parent_and_then_expires() -> None:
    with LangSmithTwin() as twin:
        post(twin, span(2, 1))
        assert query(twin, id=[run_id(2)]).json()["runs"] == []
        assert "waits for a parent" in twin.violations[0]
        post(twin, span(1))
        assert [run["id"] for run in query(twin, id=[run_id(2)]).json()["runs"]] == [run_id(2)]
        assert twin.violations == []
    with LangSmithTwin(orphan_seconds=0.0) as twin:
        post(twin, span(2, 1))
        post(twin, span(1))
        assert set(twin.runs) == {run_id(1)}
        assert "expired" in twin.violations[0]


def test_keys_and_headers_are_checked() -> None:
    with LangSmithTwin() as twin:
        assert requests.post(f"{twin.url}/otel/v1/traces", timeout=10).status_code == 401
        assert post(twin, span(1), **{"x-api-key": "other"}).status_code == 403
        assert post(twin, span(1), **{"Langsmith-Agent-Id": "a"}).status_code == 400


def test_queries_are_limited_and_paged() -> None:
    with LangSmithTwin() as twin:
        post(twin, span(1), *(span(number, 1) for number in range(2, 8)))
        assert query(twin, session=[project_id("p")], limit=101).status_code == 422
        assert query(twin, limit=1).status_code == 400
        first = query(twin, session=[project_id("p")], limit=5).json()
        rest = query(twin, session=[project_id("p")], limit=5, cursor=first["cursors"]["next"]).json()
        assert len({run["id"] for run in (*first["runs"], *rest["runs"])}) == 7
        assert rest["cursors"]["next"] is None


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({"langsmith__span__kind": "LLM"}, "run type"),
        ({"gen_ai__prompt": "plain words"}, "not a JSON object"),
        (
            {
                "langsmith__usage_metadata": json.dumps(
                    {"input_tokens": 1, "output_tokens": 2, "total_tokens": 4}
                )
            },
            "add up",
        ),
        (
            {"langsmith__usage_metadata": json.dumps({"input_tokens": 1.5, "output_tokens": 2})},
            "input_tokens",
        ),
    ],
)
def test_what_would_be_misread_is_noted(changes: dict[str, str], noted: str) -> None:
    with LangSmithTwin() as twin:
        assert post(twin, span(1, **changes)).status_code == 200
        assert noted in twin.violations[0]


def test_an_error_without_its_event_is_noted() -> None:
    with LangSmithTwin() as twin:
        failed = span(1)
        failed.status.code = 2
        post(twin, failed)
        assert "exception event" in twin.violations[0]


def test_usage_on_a_run_and_its_child_and_runs_of_two_threads_are_noted() -> None:
    with LangSmithTwin() as twin:
        usage = json.dumps({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
        post(
            twin,
            span(1, langsmith__usage_metadata=usage, langsmith__metadata__thread_id="t"),
            span(2, 1, langsmith__usage_metadata=usage),
        )
        assert any("counted twice" in violation for violation in twin.violations)
        assert any("disagree about thread_id" in violation for violation in twin.violations)
