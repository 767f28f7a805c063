"""What is added to Dify's own trace at Langfuse: everything that is known, and nothing that would be counted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from exporter.model import App, AssessedTrace, Assessment, RecordKind, RecordRef, Verdict
from exporter.spans.dify_traces import dify_trace_id
from exporter.spans.langfuse_additions import NAME, additions
from tests.spans.assessed_traces import APP, START, assessment, call, finding, one_call

RECORD = "6bf7ae9c-6b0d-4d3c-9b3f-111111111111"


def of_record(kind: RecordKind, mode: str, assessed: AssessedTrace | None = None) -> AssessedTrace:
    made = assessed or one_call(1)
    app = App(APP.id, APP.name, mode, APP.tenant_id)
    return replace(made, trace=replace(made.trace, ref=RecordRef(kind, RECORD, START), app=app))


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        (RecordKind.MESSAGE, "chat", RECORD),
        (RecordKind.MESSAGE, "agent-chat", RECORD),
        (RecordKind.MESSAGE, "advanced-chat", RECORD),
        (RecordKind.RUN, "workflow", RECORD),
        (RecordKind.RUN, "advanced-chat", None),
        (RecordKind.NODE, "workflow", None),
    ],
)
def test_a_trace_bears_the_records_id_with_dashes(kind: RecordKind, mode: str, expected: str | None) -> None:
    assessed = of_record(kind, mode)
    assert dify_trace_id(assessed.trace) == expected
    assert [body.get("traceId", body["id"]) for _, body in additions(assessed)] == (
        [expected] * 2 if expected else []
    )


def test_no_event_carries_a_model_usage_or_text() -> None:
    for kind, body in additions(one_call(1)):
        allowed = {
            "trace-create": {"id", "metadata"},
            "span-create": {"id", "traceId", "parentObservationId", "name", "startTime", "endTime", "output"},
        }[kind]
        assert set(body) == allowed
        assert "invoices" not in json.dumps(body)
        assert "retry." not in json.dumps(body).replace(
            "Two attempts were billed. Lower the retry count.", ""
        )


def test_a_call_is_an_observation_below_its_node_with_its_readings_in_numbers_and_words() -> None:
    assessed = one_call(1)
    _, body = list(additions(assessed))[1]
    of = assessed.assessments[0].call
    assert (body["parentObservationId"], body["name"]) == (of.node_execution_id, NAME)
    told = json.loads(body["output"])
    assert (told["dify"]["total"], told["local"]["total"], told["vendor"]["total"]) == (150, 151, 282)
    assert told["verdict"] == "explained"
    assert told["findings"][0].startswith("retry_billed: +120 input, +12 output tokens (certain).")
    assert (told["model"], body["startTime"][:19]) == ("gpt-4o-mini", "2026-11-23T18:53:22")


def test_observations_have_other_ids_than_our_own_spans() -> None:
    assessed = one_call(1)
    ids = {body["id"] for kind, body in additions(assessed) if kind == "span-create"}
    assert ids.isdisjoint(step.span_id for step in assessed.trace.steps)


def metadata(*assessments: Assessment, **changes: Any) -> dict[str, Any]:
    made = replace(one_call(1), assessments=assessments, **changes)
    ((_, body), *_) = additions(made)
    found: dict[str, Any] = body["metadata"]
    return found


def test_totals_say_how_many_calls_they_are_of() -> None:
    found = metadata(
        assessment(),
        assessment(call(2), vendor=None, findings=(finding("stopped"),), verdict=Verdict.UNVERIFIED),
    )
    assert found == {
        "dify_exporter.verdict": "explained",
        "dify_exporter.findings": "retry_billed, stopped",
        "dify_exporter.notes": "",
        "dify_exporter.trace.calls.all": 2,
        "dify_exporter.trace.calls.dify": 2,
        "dify_exporter.trace.tokens.dify.total": 300,
        "dify_exporter.trace.calls.local": 2,
        "dify_exporter.trace.tokens.local.total": 302,
        "dify_exporter.trace.calls.vendor": 1,
        "dify_exporter.trace.tokens.vendor.total": 282,
    }


def test_a_correction_overwrites_every_key_that_an_earlier_one_wrote() -> None:
    known, unknown = metadata(assessment()), metadata(assessment(vendor=None, local=None, findings=()))
    assert set(known) == set(unknown)
    assert unknown["dify_exporter.trace.tokens.vendor.total"] == "unknown"
    assert unknown["dify_exporter.findings"] == ""


def test_nothing_is_added_to_a_trace_without_calls() -> None:
    assert list(additions(replace(one_call(1), assessments=()))) == []
