"""The Langfuse twin keeps what is known of traces that Dify's own tracing writes, in each of its modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.langfuse_twin import PUBLIC_KEY, SECRET_KEY, LangfuseTwin

KEYS = (PUBLIC_KEY, SECRET_KEY)
TRACE, NODE = "6bf7ae9c-6b0d-4d3c-9b3f-111111111111", "6bf7ae9c-6b0d-4d3c-9b3f-222222222222"
AT = "2026-11-24T10:00:00.000Z"


def event(kind: str, **body: Any) -> dict[str, Any]:
    return {"id": f"{kind}-{len(body)}-{body.get('id')}", "type": kind, "timestamp": AT, "body": body}


def post(twin: LangfuseTwin, *events: dict[str, Any]) -> dict[str, Any]:
    reply = requests.post(f"{twin.url}/api/public/ingestion", json={"batch": events}, auth=KEYS, timeout=10)
    assert reply.status_code == 207
    answer: dict[str, Any] = reply.json()
    return answer


def read(twin: LangfuseTwin, path: str, **params: str) -> requests.Response:
    return requests.get(f"{twin.url}/api/public{path}", params=params, auth=KEYS, timeout=10)


DIFY = (
    event("trace-create", id=TRACE, name="message", userId="u", metadata={"message_id": TRACE}),
    event(
        "generation-create", id=NODE, traceId=TRACE, name="LLM", startTime=AT, model="gpt-4o-mini",
        usage={"input": 100, "output": 20, "total": 120, "unit": "TOKENS"},
    ),
)  # fmt: skip


@pytest.mark.parametrize("mode", ["legacy", "dual"])
def test_a_trace_of_difys_is_there_under_its_id_with_dashes(mode: str) -> None:
    with LangfuseTwin(mode=mode) as twin:
        assert post(twin, *DIFY)["errors"] == []
        shown = read(twin, f"/traces/{TRACE}").json()
        assert (shown["name"], [row["id"] for row in shown["observations"]]) == ("message", [NODE])
        assert twin.tokens() == {TRACE: 120}
        assert twin.violations == []


@pytest.mark.parametrize("mode", ["legacy", "dual"])
def test_metadata_unites_and_other_fields_stay(mode: str) -> None:
    with LangfuseTwin(mode=mode) as twin:
        post(twin, *DIFY)
        post(twin, event("trace-create", id=TRACE, metadata={"ours": 1}))
        shown = read(twin, f"/traces/{TRACE}").json()
        assert (shown["name"], shown["metadata"]) == ("message", {"message_id": TRACE, "ours": 1})


@pytest.mark.parametrize("mode", ["legacy", "dual"])
def test_an_update_of_a_generation_replaces_its_usage(mode: str) -> None:
    with LangfuseTwin(mode=mode) as twin:
        post(twin, *DIFY)
        post(twin, event("generation-update", id=NODE, traceId=TRACE, usageDetails={"total": 7, "dify": 7}))
        assert twin.tokens() == {TRACE: 7}
        assert twin.rows()[0]["model"] == "gpt-4o-mini"


def test_a_dual_server_shows_them_in_its_new_views_much_later() -> None:
    with LangfuseTwin(mode="dual") as twin:
        post(twin, *DIFY)
        assert read(twin, "/v2/observations", traceId=TRACE).json()["data"] == []
        twin.settle()
        assert [row["id"] for row in read(twin, "/v2/observations", traceId=TRACE).json()["data"]] == [NODE]


def test_a_server_of_events_only_refuses_each_event_and_keeps_the_score() -> None:
    score = event(
        "score-create", id="s", traceId=TRACE, name="token_verdict", value="agree", dataType="CATEGORICAL"
    )
    with LangfuseTwin(mode="events_only") as twin:
        answer = post(twin, *DIFY, score)
        assert [error["status"] for error in answer["errors"]] == [400, 400]
        assert [success["id"] for success in answer["successes"]] == [score["id"]]
        assert (twin.tokens(), twin.ingested.traces) == ({}, {})
        assert twin.scores.of_trace(TRACE) == {"token_verdict": "agree"}


def test_an_observation_moved_to_another_trace_is_noticed() -> None:
    with LangfuseTwin(mode="legacy") as twin:
        post(twin, *DIFY)
        post(twin, event("span-create", id=NODE, traceId="other", name="x"))
        assert any("is in two traces" in line for line in twin.violations)


def test_a_model_without_usage_is_noticed_because_langfuse_would_count_by_itself() -> None:
    with LangfuseTwin(mode="legacy") as twin:
        post(twin, event("span-create", id="x", traceId=TRACE, name="readings", model="gpt-4o"))
        assert any("counts the tokens" in line for line in twin.violations)


def test_what_is_held_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with LangfuseTwin(mode="legacy", state=state) as twin:
        post(twin, *DIFY)
    with LangfuseTwin(mode="legacy", state=state) as again:
        assert read(again, f"/traces/{TRACE}").json()["name"] == "message"
        assert again.tokens() == {TRACE: 120}
