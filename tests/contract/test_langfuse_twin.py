"""The Langfuse twin can fail: it keeps the rules of the server and notices each silent change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract import langfuse_rules as rules
from tests.contract.langfuse_twin import PUBLIC_KEY, SECRET_KEY, LangfuseTwin

ROOT = Path(__file__).parents[2]
KEYS = (PUBLIC_KEY, SECRET_KEY)
V4 = {"x-langfuse-ingestion-version": "4", "Content-Type": "application/x-protobuf"}


def span(number: int = 1, trace: int = 1, start_ms: int = 1000, **attributes: Any) -> Span:
    made = Span(
        trace_id=trace.to_bytes(16),
        span_id=number.to_bytes(8),
        name=f"span {number}",
        start_time_unix_nano=start_ms * 1_000_000,
        end_time_unix_nano=(start_ms + 5) * 1_000_000,
    )
    for key, value in attributes.items():
        item = made.attributes.add(key=key.replace("__", "."))
        if isinstance(value, int):
            item.value.int_value = value
        else:
            item.value.string_value = value
    return made


def export(*spans: Span) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def post(twin: LangfuseTwin, body: bytes, **headers: str) -> requests.Response:
    return requests.post(
        f"{twin.url}/api/public/otel/v1/traces", data=body, headers={**V4, **headers}, auth=KEYS, timeout=10
    )


def get(twin: LangfuseTwin, path: str, **params: str) -> requests.Response:
    return requests.get(f"{twin.url}/api/public{path}", params=params, auth=KEYS, timeout=10)


def test_a_200_is_a_queue_job_and_not_an_export_response() -> None:
    with LangfuseTwin() as twin:
        answer = post(twin, export(span()))
        assert (answer.status_code, answer.json()["name"]) == (200, "otel-ingestion-job")
        assert post(twin, b"").status_code == 200


def test_bad_keys_versions_bodies_and_methods_are_refused() -> None:
    with LangfuseTwin() as twin:
        url = f"{twin.url}/api/public/otel/v1/traces"
        assert requests.post(url, data=b"", headers=V4, timeout=10).status_code == 401
        assert requests.post(url, data=b"", headers=V4, auth=("pk", "sk"), timeout=10).status_code == 401
        assert requests.get(url, auth=KEYS, timeout=10).status_code == 405
        assert post(twin, b"", **{"x-langfuse-ingestion-version": "5"}).status_code == 400
        assert post(twin, b"\xff garbage").status_code == 400
        assert post(twin, b"not gzip", **{"Content-Encoding": "gzip"}).status_code == 400
        assert post(twin, b"", **{"Content-Type": "text/plain"}).status_code == 400


def test_one_span_without_an_id_refuses_the_whole_request() -> None:
    with LangfuseTwin() as twin:
        bad = span(2)
        bad.span_id = b""
        assert post(twin, export(span(1), bad)).status_code == 400
        assert twin.rows() == []


def test_zero_ids_are_accepted_and_noted() -> None:
    with LangfuseTwin() as twin:
        assert post(twin, export(span(0))).status_code == 200
        assert "all zero" in twin.violations[0]


def test_v4_replaces_and_another_start_time_is_a_second_row() -> None:
    with LangfuseTwin() as twin:
        post(twin, export(span(langfuse__observation__input="a", langfuse__observation__output="b")))
        post(twin, export(span(langfuse__observation__input="c")))
        (row,) = twin.rows()
        assert (row["input"], row["output"]) == ("c", None)
        post(twin, export(span(start_ms=1001)))
        assert list(twin.counts().values()) == [2]
        assert "held 2 times" in twin.violations[0]


def test_v3_merges_and_keeps_what_was_left_out() -> None:
    with LangfuseTwin("legacy") as twin:
        post(twin, export(span(langfuse__observation__input="a", langfuse__observation__output="b")))
        post(twin, export(span(langfuse__observation__input="c")))
        (row,) = twin.rows()
        assert (row["input"], row["output"]) == ("c", "b")


def test_v3_lets_another_trace_steal_a_span() -> None:
    with LangfuseTwin("legacy") as twin:
        post(twin, export(span(trace=1)))
        post(twin, export(span(trace=2)))
        assert get(twin, f"/traces/{1:032x}").status_code == 404
        assert "loses its span" in twin.violations[0]
    with LangfuseTwin() as twin:
        post(twin, export(span(trace=1), span(trace=2)))
        assert len(twin.rows()) == 2
        assert twin.violations == []


def test_each_mode_has_its_reads() -> None:
    for mode, v2, v1 in (("legacy", 404, 200), ("dual", 200, 200), ("events_only", 200, 404)):
        with LangfuseTwin(mode) as twin:
            assert get(twin, "/v2/observations", limit="1").status_code == v2
            assert get(twin, "/traces", limit="1").status_code == v1


def test_a_dual_server_stages_spans_that_come_without_the_header() -> None:
    with LangfuseTwin("dual") as twin:
        headers = {"Content-Type": "application/x-protobuf"}
        url = f"{twin.url}/api/public/otel/v1/traces"
        requests.post(url, data=export(span()), headers=headers, auth=KEYS, timeout=10)
        assert get(twin, "/v2/observations").json()["data"] == []
        assert "ten minutes late" in twin.violations[0]


def test_reads_page_by_cursor_within_limits_and_windows() -> None:
    with LangfuseTwin() as twin:
        post(twin, export(*(span(number, start_ms=number) for number in range(1, 26))))
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": "10", **({"cursor": cursor} if cursor else {})}
            answer = get(twin, "/v2/observations", **params).json()
            seen += [row["id"] for row in answer["data"]]
            cursor = answer["meta"]["cursor"]
            if cursor is None:
                break
        assert seen == [f"{number:016x}" for number in range(25, 0, -1)]
        window = {"fromStartTime": rules.iso(3), "toStartTime": rules.iso(5)}
        rows = get(twin, "/v2/observations", **window).json()["data"]
        assert [row["id"] for row in rows] == [f"{number:016x}" for number in (4, 3)]
        assert get(twin, "/v2/observations", limit="1001").status_code == 400
        assert get(twin, "/v2/observations", fields="everything").status_code == 400
        assert "usageDetails" not in rows[0]
        assert "usageDetails" in get(twin, "/v2/observations", fields="core,usage").json()["data"][0]


@pytest.mark.parametrize(
    ("given", "stored", "shown"),
    [
        ({"input": 100, "output": 20, "total": 120, "dify": 118, "vendor": 125}, None, (100, 20, 120)),
        (
            {"input": 100, "output": 20, "dify": 118, "local": 121, "vendor": 125},
            {"total": 484},
            (100, 20, 484),
        ),
        (
            {
                "input": 100,
                "output": 20,
                "total": 120,
                "dify_input": 98,
                "local_input": 101,
                "vendor_input": 105,
            },
            None,
            (404, 20, 120),
        ),
        ({"dify": 118}, {"total": 118}, (0, 0, 118)),
        ({"input": 100.5, "output": 20, "total": 20}, "drop", (0, 20, 20)),
        ({"input": -1, "output": 20, "total": 20}, "drop", (0, 20, 20)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, None, (7, 3, 10)),
    ],
)
def test_usage_is_shown_as_measured_on_a_real_server(
    given: dict[str, Any], stored: Any, shown: tuple[int, ...]
) -> None:
    notes: list[str] = []
    kept = rules.usage({"langfuse.observation.usage_details": json.dumps(given)}, "span", notes.append)
    assert rules.shown(kept) == shown
    if isinstance(stored, dict):
        assert kept["total"] == stored["total"]
    assert bool(notes) == (stored is not None or any("_input" in key for key in given))


def test_costs_need_numbers_and_a_total() -> None:
    notes: list[str] = []
    found = {"langfuse.observation.cost_details": json.dumps({"dify": 0.5})}
    assert rules.costs(found, "span", notes.append)["total"] == 0
    found = {"langfuse.observation.cost_details": json.dumps({"total": "0.25"})}
    assert rules.costs(found, "span", notes.append)["total"] == 0
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("attributes", "noted"),
    [
        ({"langfuse__observation__type": "GENERATION"}, "type"),
        ({"langfuse__environment": "EU West"}, "environment"),
        ({"langfuse__observation__model__name": "gpt-4o"}, "by itself"),
        ({"langfuse__observation__metadata": "[1]"}, "not a JSON object"),
        ({"langfuse__observation__completion_start_time": "yesterday"}, "completion start"),
        (
            {
                "gen_ai__operation__name": "invoke_agent",
                "langfuse__observation__usage_details": '{"total":1}',
            },
            "invoke_agent",
        ),
    ],
)
def test_silent_changes_are_noted(attributes: dict[str, Any], noted: str) -> None:
    with LangfuseTwin() as twin:
        assert post(twin, export(span(**attributes))).status_code == 200
        assert noted in twin.violations[0]


def test_spans_that_disagree_about_their_trace_are_noted() -> None:
    with LangfuseTwin() as twin:
        post(twin, export(span(1, langfuse__user__id="a"), span(2)))
        assert "disagree about userId" in twin.violations[0]


@contextmanager
def process(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.contract.langfuse_twin", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def test_as_a_process_it_takes_faults_and_finds_again_what_it_held(tmp_path: Path) -> None:
    options = ("--mode", "legacy", "--state", str(tmp_path / "state.jsonl"))
    with process(*options) as url:
        requests.post(f"{url}/control/faults", json={"lose_spans": 1}, timeout=10)
        body = export(span(1), span(2))
        sent = requests.post(f"{url}/api/public/otel/v1/traces", data=body, headers=V4, auth=KEYS, timeout=10)
        assert sent.status_code == 200
        held = requests.get(f"{url}/control/held", timeout=10).json()
    lost, kept = f"{1:032x}:{1:016x}", f"{1:032x}:{2:016x}"
    assert held["spans"] == {lost: {"rows": 0, "arrivals": 1}, kept: {"rows": 1, "arrivals": 1}}
    with process(*options) as url:
        again = requests.get(f"{url}/control/held", timeout=10).json()
        found = requests.get(f"{url}/api/public/traces/{1:032x}", auth=KEYS, timeout=10).json()
    assert again["spans"] == {kept: {"rows": 1, "arrivals": 0}}
    assert [row["id"] for row in found["observations"]] == [f"{2:016x}"]
